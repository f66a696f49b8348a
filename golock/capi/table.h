#include "golock.h"

/* Returns the table of the core's functions, always the same. The symbol and those of the functions
 * are hidden: a process may have several cores, in libraries and in the program itself, with the
 * same names. */
__attribute__((visibility("hidden"))) const struct golock_core *golock_core_table(void);
