#include "golock.h"

/* Returns the table of the core's functions, always the same. The symbol is hidden, as those of the functions
 * are: a process may have several cores, in libraries and in the program itself, each with these names. */
__attribute__((visibility("hidden"))) const struct golock_core *golock_core_table(void);
