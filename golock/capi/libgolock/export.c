#include "../table.h"
#include "guest.h"

const struct golock_core *
golock_core_5(void)
{
    return golock_guest_ready() ? golock_core_table() : NULL;
}
