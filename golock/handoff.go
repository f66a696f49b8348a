package golock

import (
	"math"
	"sync/atomic"
	"time"
)

// DefaultHandoff is the hand-off threshold that a program starts with. docs/design.md has the
// measurements behind it.
const DefaultHandoff = time.Millisecond

var handoffAfter atomic.Int64

func init() { handoffAfter.Store(int64(DefaultHandoff)) }

// SetHandoff sets how long a waiter waits before it asks to be handed the lock past newcomers, for
// every lock of the process that this runtime waits on. With 0 every release is a hand-off, and a lock
// is first come, first served among the threads that wait for it; the goroutines of one runtime wait
// in a line, whose first counts as one of them. Negative durations count as 0.
func SetHandoff(after time.Duration) {
	handoffAfter.Store(min(max(int64(after), 0), math.MaxInt64/2))
}

// HandoffAfter returns the threshold set by [SetHandoff].
func HandoffAfter() time.Duration { return time.Duration(handoffAfter.Load()) }
