package golock

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// A Lock is a mutual exclusion lock. Unlike [sync.Mutex] it can be waited for with a limit, and any
// goroutine or thread may release it. Waiters are served in the order of their arrival; newcomers may
// go first, for the time set by [SetHandoff].
//
// A Lock must not be copied after first use.
type Lock struct {
	word uint32
}

// The errors of Acquire and Release. They stand for the exceptions that Python's lock raises in the
// same place: RuntimeError, ValueError and OverflowError.
var (
	ErrUnlocked           = errors.New("release unlocked lock")
	ErrNonBlockingTimeout = errors.New("can't specify a timeout for a non-blocking call")
	ErrNegativeTimeout    = errors.New("timeout value must be a non-negative number")
	ErrNaNTimeout         = errors.New("invalid value NaN (not a number)")
	ErrTimeoutTooLarge    = errors.New("timeout value is too large")
)

// Lock takes the lock, and waits for as long as that needs.
func (l *Lock) Lock() {
	// The slow path is outlined, here and in Unlock, so that this inlines into the caller.
	if barging() && atomic.CompareAndSwapUint32(&l.word, 0, Held) {
		return
	}
	l.lockSlow()
}

//go:noinline
func (l *Lock) lockSlow() {
	_ = l.cell().wait(context.Background(), Forever)
}

// TryLock takes the lock if nobody has it and no waiter is owed it, and reports whether it did.
func (l *Lock) TryLock() bool {
	return barging() && atomic.CompareAndSwapUint32(&l.word, 0, Held) || l.cell().tryAcquire()
}

// Unlock releases the lock. It panics when the lock is free.
func (l *Lock) Unlock() {
	if atomic.CompareAndSwapUint32(&l.word, Held, 0) {
		return
	}
	l.unlockSlow()
}

//go:noinline
func (l *Lock) unlockSlow() {
	if !l.cell().release(1, 1, looks()) {
		panic("golock: unlock of unlocked lock")
	}
}

// Locked reports whether the lock is taken, or reserved for a waiter.
func (l *Lock) Locked() bool { return l.cell().locked() }

func (l *Lock) cell() cell { return cell{word: &l.word} }

// LockContext takes the lock, or returns the context's error when the context ends first. A context
// that has already ended is an error even when the lock is free.
func (l *Lock) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if barging() && atomic.CompareAndSwapUint32(&l.word, 0, Held) {
		return nil
	}
	return l.cell().wait(ctx, Forever)
}

// LockTimeout takes the lock, or gives up when d has passed, and reports whether it took the lock.
// With d <= 0 it does not wait.
func (l *Lock) LockTimeout(d time.Duration) bool {
	if l.TryLock() {
		return true
	}
	if d <= 0 {
		return false
	}
	return l.cell().wait(context.Background(), after(now(), d)) == nil
}

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
	if atomic.CompareAndSwapUint32(&l.word, Held, 0) || l.cell().release(1, 1, true) {
		return nil
	}
	return ErrUnlocked
}

// after is the moment d from at, or Forever where the clock does not reach.
func after(at int64, d time.Duration) int64 {
	if int64(d) > Forever-at {
		return Forever
	}
	return at + int64(d)
}
