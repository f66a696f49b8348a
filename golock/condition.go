package golock

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/golock/golock/internal/core"
)

// A Condition is a place to wait at for what a lock guards to change. Unlike [sync.Cond] it can be waited
// at with a context, and wakes its waiters in the order in which they came. It is ready for use when L is
// set, and must not be copied after first use.
type Condition struct {
	// L is held while what it guards is looked at or changed, and by the callers of Wait.
	L sync.Locker

	_    noCopy
	word uint32
}

// Wait unlocks c.L, waits to be notified, and locks c.L again before it returns, whatever it returns: nil,
// or the context's error when the context ended first. It locks c.L without limit, also when the context
// has ended. A notification that comes while the context ends, until c.L is locked again, is
// taken, and the answer nil: none is lost. With a context that has already ended Wait still unlocks and
// locks c.L.
//
// That it was notified does not mean that what it waits for is true: Wait stands in a loop.
func (c *Condition) Wait(ctx context.Context) (err error) {
	l := core.NewListener()
	core.Listen(&c.word, l)
	defer func() { // also when c.L panics, because it is not locked
		if core.Withdraw(&c.word, l) == 0 {
			err = ctx.Err()
		}
	}()
	c.L.Unlock()
	l.Await(ctx)
	c.L.Lock()
	return nil
}

// Notify wakes up to n of those that wait, first come, first served; with n <= 0 it wakes none. The caller
// holds c.L, or does not mind that somebody who is about to wait is not woken.
func (c *Condition) Notify(n int) {
	if n > 0 && atomic.LoadUint32(&c.word) != 0 {
		core.Notify(&c.word, uint32(min(n, core.Everyone)), core.Notified)
	}
}

// NotifyAll wakes all that wait, as [Condition.Notify] does.
func (c *Condition) NotifyAll() { c.Notify(core.Everyone) }

// Waiting returns how many wait and have not been notified.
func (c *Condition) Waiting() int { return int(atomic.LoadUint32(&c.word)) }
