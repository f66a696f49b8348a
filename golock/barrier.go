package golock

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// A Barrier makes goroutines wait until a given number of them, its parties, have arrived. Then all
// of them go on, and the barrier can be used again. It is made by [NewBarrier] and must not be
// copied.
type Barrier struct {
	lock    Lock // held by a goroutine that arrives, gives up or runs the action
	word    uint32
	broken  atomic.Bool // changes with the lock held
	parties int
	action  func()
}

// ErrBrokenBarrier is returned by [Barrier.Wait] if the barrier is broken, or is reset meanwhile.
// It stands for Python's BrokenBarrierError.
var ErrBrokenBarrier = errors.New("broken barrier")

// NewBarrier returns a barrier for the given number of parties, from 1 to 2^31-1; it panics for any
// other. The last party to arrive calls the action, if it is not nil, before any of them goes on.
// The action must not call Wait, Abort or Reset of the barrier.
func NewBarrier(parties int, action func()) *Barrier {
	if parties < 1 || parties > core.Everyone {
		panic("golock: invalid number of parties")
	}
	return &Barrier{parties: parties, action: action}
}

// Wait waits until all parties have arrived. It returns how many had arrived before this one, from
// 0 to parties-1.
//
// If the context ends first, Wait breaks the barrier and returns the context's error. It does so
// also for a context that has already ended, even if only this party is missing. While the action
// runs it is too late to give up: Wait then returns when the action has returned.
//
// Wait returns [ErrBrokenBarrier] if the barrier is broken, or becomes broken or is reset before
// all parties have arrived. If the action panics, so does the Wait that called it, and the barrier
// is broken.
func (b *Barrier) Wait(ctx context.Context) (int, error) {
	if b.parties == 0 {
		panic("golock: use of a Barrier not made by NewBarrier")
	}
	if err := b.lock.LockContext(ctx); err != nil {
		b.Abort()
		return 0, err
	}
	if b.Broken() {
		b.lock.Unlock()
		return 0, ErrBrokenBarrier
	}
	index := b.Waiting()
	if index == b.parties-1 {
		defer b.lock.Unlock()
		b.trip()
		return index, nil
	}
	l := core.NewListener()
	core.Listen(&b.word, l)
	b.lock.Unlock()
	await(ctx, l, &b.word, sight.KindBarrier)

	notification := l.Notification()
	if notification == 0 {
		b.lock.Lock() // nobody gives up while the action runs
		if notification = core.Withdraw(&b.word, l); notification == 0 {
			b.breaks()
		}
		b.lock.Unlock()
	}
	switch notification {
	case 0:
		return 0, ctx.Err()
	case core.BarrierBroken:
		return 0, ErrBrokenBarrier
	}
	return index, nil
}

// trip calls the action and wakes all waiters. The caller holds the lock.
func (b *Barrier) trip() {
	if b.action != nil {
		returned := false
		defer func() {
			if !returned { // the action panicked, or ended its goroutine
				b.breaks()
			}
		}()
		b.action()
		returned = true
	}
	b.notifyAll(core.Notified)
}

// breaks breaks the barrier. The caller holds the lock.
func (b *Barrier) breaks() {
	b.broken.Store(true)
	b.notifyAll(core.BarrierBroken)
}

func (b *Barrier) notifyAll(notification uint32) {
	core.Notify(&b.word, core.Everyone, notification)
}

// Abort breaks the barrier. Current waiters get [ErrBrokenBarrier], and so do later calls of Wait
// until the barrier is reset.
func (b *Barrier) Abort() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.breaks()
}

// Reset returns the barrier to its initial state. Current waiters get [ErrBrokenBarrier].
func (b *Barrier) Reset() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.notifyAll(core.BarrierBroken)
	b.broken.Store(false)
}

// Broken reports whether the barrier is broken.
func (b *Barrier) Broken() bool { return b.broken.Load() }

// Parties returns the number of parties.
func (b *Barrier) Parties() int { return b.parties }

// Waiting returns the number of parties that have arrived and wait. While the action runs this is
// the number of parties less one.
func (b *Barrier) Waiting() int { return int(atomic.LoadUint32(&b.word)) }
