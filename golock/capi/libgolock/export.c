#include "../table.h"
#include "guest.h"

const struct golock_core *
GOLOCK_CORE_FUNCTION(void)
{
    return golock_guest_ready() ? golock_core_table() : NULL;
}
