package golock

import (
	"context"
	"time"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/process"
)

// ErrAbandoned is returned by [ProcessLock.LockUnlessAbandoned].
var ErrAbandoned = process.ErrAbandoned

// A ProcessLock is a lock across the processes of one user on one machine, Go programs and
// golock.process.Lock in Python alike. Waiters sleep in the kernel and get the lock in the order of
// their arrival, but newcomers may take it before them for the time set by [SetHandoff].
//
// A holder whose process ends, in whatever way, frees the lock, and [ProcessLock.Abandoned] tells
// the next one. A process that is only stopped keeps it. Any goroutine of any process may unlock
// it.
type ProcessLock struct {
	lock *process.Lock
}

// OpenProcessLock returns the lock of a name, any string that is not empty. The error names the
// file in /dev/shm: there is no room, it is not a page of this version, others may access it, or
// all of its slots are taken.
func OpenProcessLock(name string) (*ProcessLock, error) {
	lock, err := process.Open(name)
	if err != nil {
		return nil, err
	}
	return &ProcessLock{lock}, nil
}

// Lock waits for the lock and takes it.
func (l *ProcessLock) Lock() { _ = l.lock.Acquire(context.Background(), core.Forever, false) }

// TryLock takes the lock if it is free and not reserved for a waiter. It reports whether it did.
func (l *ProcessLock) TryLock() bool { return l.lock.TryAcquire() }

// LockContext waits for the lock and takes it. If the context ends first, it returns the context's
// error without the lock.
func (l *ProcessLock) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.lock.Acquire(ctx, core.Forever, false)
}

// LockUnlessAbandoned is LockContext, but returns [ErrAbandoned] without the lock if a holder has
// died and nobody has recovered it.
func (l *ProcessLock) LockUnlessAbandoned(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.lock.Acquire(ctx, core.Forever, true)
}

// LockTimeout waits for the lock for at most d, and reports whether it took the lock.
func (l *ProcessLock) LockTimeout(d time.Duration) bool {
	if d <= 0 {
		return l.TryLock()
	}
	return l.lock.Acquire(context.Background(), core.DeadlineAfter(d), false) == nil
}

// Unlock releases the lock. It panics if the lock is free.
func (l *ProcessLock) Unlock() {
	if !l.lock.Release() {
		panic("golock: unlock of unlocked process lock")
	}
}

// Locked reports whether the lock is taken, or reserved for a waiter.
func (l *ProcessLock) Locked() bool { return l.lock.Locked() }

// Abandoned reports whether a process has died while it held the lock, and nobody has called
// Recover since.
func (l *ProcessLock) Abandoned() bool { return l.lock.Abandoned() }

// Recover says that what the lock protects is in order again, and returns how many holders have
// died since the last call. It panics if this process does not hold the lock.
func (l *ProcessLock) Recover() int {
	deaths, held := l.lock.Recover()
	if !held {
		panic("golock: recovery of a process lock that this process does not hold")
	}
	return deaths
}

// Close gives up the lock's memory and descriptor. The lock must not be used afterwards.
func (l *ProcessLock) Close() { l.lock.Close() }
