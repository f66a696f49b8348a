package golock

import "time"

var (
	base    = monotonicBase() // read first: a clock that runs late ends no wait early
	started = time.Now()
)

// now is the monotonic clock in nanoseconds; on Linux the same numbers as CLOCK_MONOTONIC.
func now() int64 { return base + int64(time.Since(started)) }
