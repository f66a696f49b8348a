package core

import "time"

var (
	base    = monotonicBase() // read first: a late clock ends no wait early
	started = time.Now()
)

func now() int64 { return base + int64(time.Since(started)) }

// Now returns the monotonic clock in nanoseconds; on Linux that of CLOCK_MONOTONIC.
func Now() int64 { return now() }

// DeadlineAfter returns the moment d from now, or [Forever] if it is beyond the range of the clock.
func DeadlineAfter(d time.Duration) int64 {
	at := now()
	if int64(d) > Forever-at {
		return Forever
	}
	return at + int64(d)
}
