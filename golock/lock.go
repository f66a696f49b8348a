package golock

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/golock/golock/internal/core"
)

// A Lock is a mutual exclusion lock. Unlike [sync.Mutex] it can be waited for with a limit, and any
// goroutine or thread may release it. Waiters are served in the order of their arrival; newcomers may
// go first, for the time set by [SetHandoff].
//
// A Lock must not be copied after first use.
type Lock struct {
	word uint32
}

// Lock takes the lock, and waits for as long as that needs.
func (l *Lock) Lock() {
	// The slow path is outlined, here and in Unlock, so that this inlines into the caller.
	if core.Barging() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) {
		return
	}
	l.lockSlow()
}

//go:noinline
func (l *Lock) lockSlow() {
	_ = l.cell().Wait(context.Background(), core.Forever)
}

// TryLock takes the lock if nobody has it and no waiter is owed it, and reports whether it did.
func (l *Lock) TryLock() bool {
	return core.Barging() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) || l.cell().TryAcquire()
}

// Unlock releases the lock. It panics when the lock is free.
func (l *Lock) Unlock() {
	if atomic.CompareAndSwapUint32(&l.word, core.Held, 0) {
		return
	}
	l.unlockSlow()
}

//go:noinline
func (l *Lock) unlockSlow() {
	if !l.cell().Release(1, 1, core.ShouldCheckClock()) {
		panic("golock: unlock of unlocked lock")
	}
}

// Locked reports whether the lock is taken, or reserved for a waiter.
func (l *Lock) Locked() bool { return l.cell().Locked() }

func (l *Lock) cell() core.Cell { return core.LockCell(&l.word) }

// LockContext takes the lock, or returns the context's error when the context ends first. A context
// that has already ended is an error even when the lock is free.
func (l *Lock) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if core.Barging() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) {
		return nil
	}
	return l.cell().Wait(ctx, core.Forever)
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
	return l.cell().Wait(context.Background(), core.DeadlineAfter(d)) == nil
}
