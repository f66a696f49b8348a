package golock

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// A Condition is a condition variable. Unlike a [sync.Cond] it can be waited for with a context,
// and it wakes its waiters in the order of their arrival.
//
// A Condition is ready for use when L is set. It must not be copied after first use.
type Condition struct {
	// L is held while what it guards is read or changed, and when Wait is called.
	L sync.Locker

	_    noCopy
	word uint32
}

// Wait unlocks c.L, waits to be notified, locks c.L again and returns nil. If the context ends
// first, Wait locks c.L, for which it waits without limit, and returns the context's error. With a
// context that has already ended Wait still unlocks and locks c.L.
//
// A notification that arrives after the context has ended but before c.L is locked again is not
// lost: Wait then returns nil.
//
// What the caller waits for may no longer be true when Wait returns. Call Wait in a loop:
//
//	c.L.Lock()
//	for !ready {
//		if err := c.Wait(ctx); err != nil {
//			break
//		}
//	}
//	c.L.Unlock()
func (c *Condition) Wait(ctx context.Context) (err error) {
	l := core.NewListener()
	core.Listen(&c.word, l)
	defer func() { // also if c.L panics because it is not locked
		if core.Withdraw(&c.word, l) == 0 {
			err = ctx.Err()
		}
	}()
	c.L.Unlock()
	await(ctx, l, &c.word, sight.KindCondition)
	c.L.Lock()
	return nil
}

// Notify wakes the first n waiters, or all if there are fewer; with n <= 0 it wakes none. The
// caller should hold c.L: without it Notify may miss a goroutine that is about to wait.
func (c *Condition) Notify(n int) {
	if n > 0 && atomic.LoadUint32(&c.word) != 0 {
		recordTaken(&c.word, sight.KindCondition)
		core.Notify(&c.word, uint32(min(n, core.Everyone)), core.Notified)
	}
}

// NotifyAll wakes all waiters, as [Condition.Notify] does.
func (c *Condition) NotifyAll() { c.Notify(core.Everyone) }

// Waiting returns the number of waiters that have not been notified.
func (c *Condition) Waiting() int { return int(atomic.LoadUint32(&c.word)) }
