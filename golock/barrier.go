package golock

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Barrier lets goroutines and threads wait until a number of them have arrived. It is made by
// [NewBarrier], and can be used again as soon as it has let go those that waited.
type Barrier struct {
	lock    Lock // held while somebody arrives, gives up, or runs the action
	word    uint32
	broken  bool
	parties uint32
	action  func()
}

// ErrBrokenBarrier is the error of those that wait at a barrier which is aborted or reset, or where another has
// given up; it stands for Python's BrokenBarrierError.
var ErrBrokenBarrier = errors.New("broken barrier")

// What those that wait at a barrier are told.
const (
	Tripped = Told
	Broken  = Told + 1
)

// NewBarrier returns a barrier for so many parties. The last that arrives calls the action, which may be
// nil, before all of them go on. NewBarrier panics when parties is 0.
func NewBarrier(parties uint32, action func()) *Barrier {
	if parties == 0 || parties > Everyone {
		panic("golock: a barrier for no parties, or for too many")
	}
	return &Barrier{parties: parties, action: action}
}

// Wait waits for all parties, and returns how many had arrived before. When the context ends first, the
// barrier is broken, and Wait returns the context's error. It returns [ErrBrokenBarrier] when the barrier
// is broken or becomes so. When the action panics, so does Wait, and the barrier is broken.
func (b *Barrier) Wait(ctx context.Context) (int, error) {
	if err := b.lock.LockContext(ctx); err != nil {
		b.Abort()
		return 0, err
	}
	if b.broken {
		b.lock.Unlock()
		return 0, ErrBrokenBarrier
	}
	index := b.Waiting()
	if uint32(index)+1 == b.parties {
		defer b.lock.Unlock()
		b.trip()
		return index, nil
	}
	listener, done := newListener()
	defer done()
	Listen(&b.word, listener)
	b.lock.Unlock()
	listener.await(ctx)

	told := atomic.LoadUint32(&listener.told)
	if told == 0 {
		b.lock.Lock() // the action may be running: then nobody gives up any more
		if told = Withdraw(&b.word, listener); told == 0 {
			b.breaks()
		}
		b.lock.Unlock()
	}
	switch told {
	case 0:
		return 0, ctx.Err()
	case Broken:
		return 0, ErrBrokenBarrier
	}
	return index, nil
}

// trip calls the action and lets all go.
func (b *Barrier) trip() {
	if b.action != nil {
		tripped := false
		defer func() {
			if !tripped {
				b.breaks()
			}
		}()
		b.action()
		tripped = true
	}
	Notify(&b.word, Everyone, Tripped)
}

// breaks breaks the barrier. The caller has its lock.
func (b *Barrier) breaks() {
	b.broken = true
	Notify(&b.word, Everyone, Broken)
}

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
	b.breaks()
	b.broken = false
}

// Broken reports whether the barrier is broken.
func (b *Barrier) Broken() bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.broken
}

// Parties returns how many have to arrive.
func (b *Barrier) Parties() int { return int(b.parties) }

// Waiting returns how many wait.
func (b *Barrier) Waiting() int { return int(atomic.LoadUint32(&b.word) / Listening) }
