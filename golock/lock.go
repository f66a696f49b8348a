package golock

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// A Lock is a mutual exclusion lock. Unlike a [sync.Mutex] it can be waited for with a context or a
// timeout. Any goroutine or thread may unlock it. Waiters get the lock in the order of their
// arrival, but newcomers may take it before them for the time set by [SetHandoff].
//
// The zero value is an unlocked lock. A Lock must not be copied after first use.
type Lock struct {
	word uint32
}

// Lock waits for the lock and takes it.
func (l *Lock) Lock() {
	// The slow path is outlined, here and in Unlock, so that this inlines into the caller.
	if core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) {
		return
	}
	l.lockSlow()
}

//go:noinline
func (l *Lock) lockSlow() {
	_ = l.wait(context.Background(), core.Forever)
}

// TryLock takes the lock if it is free and not reserved for a waiter. It reports whether it did.
func (l *Lock) TryLock() bool {
	return core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) || l.tryLockSlow()
}

//go:noinline
func (l *Lock) tryLockSlow() bool {
	taken := l.cell().TryAcquire()
	if taken {
		recordTaken(&l.word, sight.KindLock|sight.Tried)
	}
	return taken
}

// Unlock releases the lock. It panics if the lock is not taken.
func (l *Lock) Unlock() {
	if core.Fast() && atomic.CompareAndSwapUint32(&l.word, core.Held, 0) {
		return
	}
	l.unlockSlow()
}

//go:noinline
func (l *Lock) unlockSlow() {
	l.recordReleased()
	if !l.cell().Release(1, 1, core.ShouldCheckClock()) {
		panic("golock: unlock of unlocked lock")
	}
}

// Locked reports whether the lock is taken, or reserved for a waiter. The answer may be out of date
// when it arrives.
func (l *Lock) Locked() bool { return l.cell().Locked() }

func (l *Lock) cell() core.Cell { return core.LockCell(&l.word) }

// LockContext waits for the lock and takes it. If the context ends first, LockContext returns the
// context's error without the lock. A context that has already ended is an error even if the lock
// is free.
func (l *Lock) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if core.Fast() && atomic.CompareAndSwapUint32(&l.word, 0, core.Held) {
		return nil
	}
	return l.wait(ctx, core.Forever)
}

// LockTimeout waits for the lock for at most d, and reports whether it took the lock. With d <= 0
// it does not wait, like [Lock.TryLock].
func (l *Lock) LockTimeout(d time.Duration) bool {
	if l.TryLock() {
		return true
	}
	if d <= 0 {
		return false
	}
	return l.wait(context.Background(), core.DeadlineAfter(d)) == nil
}

func (l *Lock) wait(ctx context.Context, deadline int64) error {
	return acquire(ctx, l.cell(), &l.word, sight.KindLock, deadline)
}

func (l *Lock) recordReleased() {
	if core.OwnersRecorded() && l.Locked() {
		sight.Released(&l.word, sight.KindLock, 1)
	}
}
