//go:build !golock_portable

package core

import (
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The futex operations of linux/futex.h. Words are private to the process. Deadlines are absolute
// times of CLOCK_MONOTONIC, the default of FUTEX_WAIT_BITSET.
const (
	futexWaitBitset = 9
	futexWakeBitset = 10
	futexPrivate    = 128
)

// self names a claimant of this process. Reading it once suffices: a Go runtime does not survive a
// fork.
var self = uint32(os.Getpid()) << ClaimantShift

// park sleeps while *word is value, until it is woken on one of the channels or until the deadline.
// It blocks the calling OS thread.
func park(word *uint32, value, channels uint32, until int64) Reason {
	var timeout *unix.Timespec
	if until != Forever {
		ts := unix.NsecToTimespec(until)
		timeout = &ts
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX,
		uintptr(unsafe.Pointer(word)), futexWaitBitset|futexPrivate, uintptr(value),
		uintptr(unsafe.Pointer(timeout)), 0, uintptr(channels))
	switch errno {
	case 0:
		return Woken
	case unix.ETIMEDOUT:
		return Expired
	default: // EAGAIN, or EINTR: a goroutine has no signal handlers to run, and looks again
		return Changed
	}
}

// wake wakes the waiter that has slept longest on one of the channels, and reports whether there
// was one. It may wake the waiter of another lock whose memory was reused: that one looks and
// sleeps again.
func wake(word *uint32, channels uint32) bool {
	woken, _, _ := unix.RawSyscall6(unix.SYS_FUTEX,
		uintptr(unsafe.Pointer(word)), futexWakeBitset|futexPrivate, 1, 0, 0, uintptr(channels))
	return woken == 1
}

// wakeAll wakes all that sleep on the word.
func wakeAll(word *uint32) {
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX,
		uintptr(unsafe.Pointer(word)), futexWakeBitset|futexPrivate, math.MaxInt32,
		0, 0, channelAny)
}

// monotonicBase relates Go's monotonic clock, which is cheap to read, to CLOCK_MONOTONIC.
func monotonicBase() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("golock: clock_gettime(CLOCK_MONOTONIC): " + err.Error())
	}
	return ts.Nano()
}
