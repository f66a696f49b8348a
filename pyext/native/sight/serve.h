/* The service: a goroutine of the core that looks for deadlocks when it is time, and answers
 * clients. It starts when threads first contend, by golock.sight.start() or by listen(). */
#ifndef GOLOCK_SERVE_H
#define GOLOCK_SERVE_H

#include "base/compat.h"

/* Makes the service call the function `look` of struct golock_sight soon, if it runs. Needs no
 * GIL. */
void golock_serve_wake(void);

#endif
