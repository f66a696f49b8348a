#include "../table.h"

/* Returns the core. The first call from any thread waits until the Go runtime has started. */
const struct golock_core *
golock_core_4(void)
{
    return golock_core_table();
}
