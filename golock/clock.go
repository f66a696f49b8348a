package golock

import "time"

var (
	started = time.Now()
	base    = monotonicBase()
)

// now is the monotonic clock in nanoseconds; on Linux the same numbers as CLOCK_MONOTONIC.
func now() int64 { return base + int64(time.Since(started)) }
