package golock

import (
	"time"

	"github.com/golock/golock/internal/core"
)

// DefaultHandoff is the hand-off threshold that a program starts with.
const DefaultHandoff = core.DefaultHandoff

// SetHandoff sets how long newcomers may go before the first of the waiters of a lock or a semaphore, for
// all that this runtime waits on. With 0 every release is a hand-off, and a lock or a semaphore is first
// come, first served: among the goroutines of one runtime, which wait in a line; and among the threads that wait
// for it, of which the first of a line counts as one, however many stand behind it. Negative durations count as 0.
func SetHandoff(after time.Duration) { core.SetHandoff(after) }

// HandoffAfter returns the threshold set by [SetHandoff].
func HandoffAfter() time.Duration { return core.HandoffAfter() }
