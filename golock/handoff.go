package golock

import (
	"time"

	"github.com/golock/golock/internal/core"
)

// DefaultHandoff is the hand-off threshold that a program starts with, 1 ms.
const DefaultHandoff = core.DefaultHandoff

// SetHandoff sets the hand-off threshold of this Go runtime: for how long newcomers may take a lock
// or a permit before the first waiter. A negative threshold counts as 0.
//
// With 0 every release is a hand-off, and waiters are served strictly in the order of their
// arrival. The goroutines of a runtime wait for a lock in a line of their own. Among OS threads,
// and the goroutines of other runtimes, the whole line counts as one waiter.
func SetHandoff(threshold time.Duration) { core.SetHandoff(threshold) }

// Handoff returns the hand-off threshold set by [SetHandoff].
func Handoff() time.Duration { return core.HandoffAfter() }
