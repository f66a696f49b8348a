package golock

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/golock/golock/internal/core"
)

// Python's acquire and release, with its arguments and errors: for comparisons with Python's lock, case by case.
// Go programs have Lock, LockContext, LockTimeout and Unlock.

// The errors of Acquire and Release. They stand for the exceptions that Python's lock raises in the
// same place: RuntimeError, ValueError and OverflowError.
var (
	ErrUnlocked           = errors.New("release unlocked lock")
	ErrNonBlockingTimeout = errors.New("can't specify a timeout for a non-blocking call")
	ErrNegativeTimeout    = errors.New("timeout value must be a non-negative number")
	ErrNaNTimeout         = errors.New("invalid value NaN (not a number)")
	ErrTimeoutTooLarge    = errors.New("timeout value is too large")
)

// Acquire is acquire(blocking, timeout) of Python's lock. The timeout is in seconds, rounded away from
// zero to nanoseconds, and -1 means no limit. It reports whether the lock was taken. The errors are
// ErrNonBlockingTimeout, ErrNegativeTimeout, ErrNaNTimeout, and ErrTimeoutTooLarge for one that
// does not fit into 64 bits of nanoseconds, 292 years; with an error the lock is not taken.
func (l *Lock) Acquire(blocking bool, timeout float64) (bool, error) {
	nanoseconds := timeout * 1e9
	if nanoseconds >= 0 {
		nanoseconds = math.Ceil(nanoseconds)
	} else {
		nanoseconds = math.Floor(nanoseconds)
	}
	switch {
	case math.IsNaN(timeout):
		return false, ErrNaNTimeout
	case nanoseconds < math.MinInt64 || nanoseconds >= -math.MinInt64:
		return false, ErrTimeoutTooLarge
	case nanoseconds == -1e9 && blocking:
		l.Lock()
		return true, nil
	case nanoseconds == -1e9:
		return l.TryLock(), nil
	case !blocking:
		return false, ErrNonBlockingTimeout
	case nanoseconds < 0:
		return false, ErrNegativeTimeout
	}
	return l.LockTimeout(time.Duration(nanoseconds)), nil
}

// Release is release() of Python's lock: ErrUnlocked when the lock is free, where Unlock panics.
func (l *Lock) Release() error {
	if atomic.CompareAndSwapUint32(&l.word, core.Held, 0) || l.cell().Release(1, 1, true) {
		return nil
	}
	return ErrUnlocked
}
