package core

import "time"

var (
	base    = monotonicBase() // read first: a clock that runs late ends no wait early
	started = time.Now()
)

// now is the monotonic clock in nanoseconds; on Linux the same numbers as CLOCK_MONOTONIC.
func now() int64 { return base + int64(time.Since(started)) }

// DeadlineAfter is the moment d from now, or [Forever] where the clock does not reach.
func DeadlineAfter(d time.Duration) int64 {
	at := now()
	if int64(d) > Forever-at {
		return Forever
	}
	return at + int64(d)
}
