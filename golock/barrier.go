package golock

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/golock/golock/internal/core"
)

// A Barrier lets goroutines wait until a number of them have arrived. It is made by [NewBarrier], and can be
// used again as soon as it has let go those that waited. It must not be copied.
type Barrier struct {
	lock    Lock // held while somebody arrives, gives up, or runs the action
	word    uint32
	broken  atomic.Bool // changes with the lock held
	parties int
	action  func()
}

// ErrBrokenBarrier is the error of those that wait at a barrier which is aborted or reset, or where another has
// given up; it stands for Python's BrokenBarrierError.
var ErrBrokenBarrier = errors.New("broken barrier")

// NewBarrier returns a barrier for so many parties. The last that arrives calls the action, which may be
// nil, before all of them go on; the action may look at the barrier, but must not wait at it, abort it or
// reset it. NewBarrier panics when parties is less than 1, or more than 2^31-1.
func NewBarrier(parties int, action func()) *Barrier {
	if parties < 1 || parties > core.Everyone {
		panic("golock: a barrier for no parties, or for too many")
	}
	return &Barrier{parties: parties, action: action}
}

// Wait waits for all parties, and returns how many had arrived before: a different number, from 0 to
// parties-1, for each of them.
//
// When the context ends first, the barrier is broken, and Wait returns the context's error; so it does when
// the context has already ended, even if no other is missing. But while the action runs it is
// too late to give up: then Wait returns when the action has. Wait returns [ErrBrokenBarrier] when the barrier
// is broken or becomes so. When the action panics, so does the Wait that called it, and the barrier is
// broken.
func (b *Barrier) Wait(ctx context.Context) (int, error) {
	if b.parties == 0 {
		panic("golock: a barrier that was not made by NewBarrier")
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
	l.Await(ctx)

	notification := l.Notification()
	if notification == 0 {
		b.lock.Lock() // the action may be running: then nobody gives up any more
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

// trip calls the action and lets all go.
func (b *Barrier) trip() {
	if b.action != nil {
		returned := false
		defer func() {
			if !returned { // it panicked, or ended its goroutine
				b.breaks()
			}
		}()
		b.action()
		returned = true
	}
	b.notifyAll(core.Notified)
}

// breaks breaks the barrier. The caller has its lock.
func (b *Barrier) breaks() {
	b.broken.Store(true)
	b.notifyAll(core.BarrierBroken)
}

func (b *Barrier) notifyAll(notification uint32) { core.Notify(&b.word, core.Everyone, notification) }

// Abort breaks the barrier: those that wait get [ErrBrokenBarrier], and those that come, until it is reset.
func (b *Barrier) Abort() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.breaks()
}

// Reset makes the barrier as it was at first. Those that wait get [ErrBrokenBarrier].
func (b *Barrier) Reset() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.notifyAll(core.BarrierBroken)
	b.broken.Store(false)
}

// Broken reports whether the barrier is broken.
func (b *Barrier) Broken() bool { return b.broken.Load() }

// Parties returns how many have to arrive.
func (b *Barrier) Parties() int { return b.parties }

// Waiting returns how many wait, and have not been let go. While the action runs these are all but one.
func (b *Barrier) Waiting() int { return int(atomic.LoadUint32(&b.word)) }
