package golock

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Condition is a place to wait at for what a lock guards to change. Unlike [sync.Cond] it can be waited
// at with a context, and wakes its waiters in the order in which they came. It must not be copied after
// first use.
type Condition struct {
	// L is held while what it guards is looked at or changed, and by the callers of Wait.
	L sync.Locker

	word uint32
}

// Wait unlocks c.L, waits to be notified, and locks c.L again before it returns, whatever it returns: nil,
// or the context's error when the context ended first. A notification that comes while the context
// ends is taken, and the answer nil: none is lost.
//
// That it was notified does not mean that what it waits for is true: Wait stands in a loop.
func (c *Condition) Wait(ctx context.Context) error {
	listener, done := newListener()
	defer done()
	Listen(&c.word, listener)
	c.L.Unlock()
	listener.await(ctx)
	c.L.Lock()
	if Withdraw(&c.word, listener) == 0 {
		return ctx.Err()
	}
	return nil
}

// Notify wakes up to n of those that wait, first come, first served. The caller holds c.L, or does not
// mind that somebody who is about to wait is not woken.
func (c *Condition) Notify(n int) {
	if n > 0 && atomic.LoadUint32(&c.word) != 0 {
		Notify(&c.word, uint32(min(n, Everyone)), Told)
	}
}

// NotifyAll wakes all that wait.
func (c *Condition) NotifyAll() { c.Notify(Everyone) }

// Waiting returns how many wait.
func (c *Condition) Waiting() int { return int(atomic.LoadUint32(&c.word) / Listening) }
