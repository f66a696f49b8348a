package etcd

import (
	"time"

	"golang.org/x/sys/unix"
)

// now returns the time since some moment, on a clock that goes on while the machine is suspended.
// Go's own clock stands still meanwhile.
func now() time.Duration {
	var time_ unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &time_); err != nil {
		panic(err)
	}
	return time.Duration(time_.Nano())
}
