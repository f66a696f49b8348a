#include "../../capi/libgolock/guest.h"

#include "../../capi/table.h"

/* Returns the core for golock.use_core, or NULL as long as the Go runtime is not ready. */
const struct golock_core *
golock_etcd_core(void)
{
    return golock_guest_ready() ? golock_core_table() : NULL;
}
