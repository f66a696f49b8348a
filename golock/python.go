package golock

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/golock/golock/internal/core"
)

// The errors of [PythonLock]. They stand for the exceptions that Python's lock raises in the same
// place: RuntimeError for ErrUnlocked, OverflowError for ErrTimeoutTooLarge, and otherwise
// ValueError.
var (
	ErrUnlocked           = errors.New("release unlocked lock")
	ErrNonBlockingTimeout = errors.New("can't specify a timeout for a non-blocking call")
	ErrNegativeTimeout    = errors.New("timeout value must be a non-negative number")
	ErrNaNTimeout         = errors.New("invalid value NaN (not a number)")
	ErrTimeoutTooLarge    = errors.New("timeout value is too large")
)

// A PythonLock adds to a [Lock] the acquire and release methods of Python's lock, with their
// arguments and errors. It is for Go code that offers a lock to Python, where a panic would end the
// process, and for comparing a Lock with Python's lock case by case.
type PythonLock struct {
	*Lock
}

// Acquire does what acquire(blocking, timeout) of Python's lock does, and reports whether it took
// the lock. The timeout is in seconds, rounded away from zero to nanoseconds; -1 means no limit.
//
// The error is [ErrNonBlockingTimeout] for a timeout other than -1 without blocking,
// [ErrNegativeTimeout] for another negative timeout, [ErrNaNTimeout], or [ErrTimeoutTooLarge] for a
// timeout that does not fit into 64 bits of nanoseconds, 292 years. With an error Acquire does not
// take the lock.
func (l PythonLock) Acquire(blocking bool, timeout float64) (bool, error) {
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
		l.Lock.Lock()
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

// Release does what release() of Python's lock does. The error is [ErrUnlocked] if the lock is not
// taken.
func (l PythonLock) Release() error {
	l.recordReleased()
	if atomic.CompareAndSwapUint32(&l.word, core.Held, 0) || l.cell().Release(1, 1, true) {
		return nil
	}
	return ErrUnlocked
}
