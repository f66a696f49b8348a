package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A claim is a key of this process in a lock's line, or the wish to make one.
//
// Claims use few names of keys again and again, since etcd keeps deleted names, and slows down by
// them, until it compacts its history. What tells claims apart is the revision of their key.
type claim struct {
	lock     *Lock
	lease    *lease
	slot     int // of the lock's names of keys
	key      string
	revision atomic.Int64     // at which the key was made; 0: not known to be made
	placed   chan struct{}    // closed when the answer is there
	err      error            // why the key was not made; set before placed is closed
	before   map[string]int64 // the keys before this one, with their create revisions; of the line
	turn     chan struct{}    // closed when the key is the first
	first    sync.Once
	unwanted atomic.Bool     // whether it will be withdrawn
	asked    time.Duration   // when the key was, of now()
	took     time.Duration   // to make the key; set before placed is closed
	notify   func()          // is called when the claim has its turn, or is over; of the line
	over     context.Context // ends when the key is no longer there, or may not be
	end      context.CancelFunc
	// Only the goroutine that has the lock's gate uses these.
	holds int64         // granted so far
	since time.Duration // the first was
}

func newClaim(lock *Lock, l *lease) *claim {
	c := &claim{
		lock:   lock,
		lease:  l,
		asked:  now(),
		placed: make(chan struct{}),
		turn:   make(chan struct{}),
	}
	c.over, c.end = context.WithCancel(l.over)
	c.slot = lock.line.takeSlot(l.id)
	c.key = fmt.Sprintf("%s%x-%d", lock.prefix, int64(l.id), c.slot)
	lock.space.mu.Lock()
	lock.space.claims[c.key] = c
	lock.space.mu.Unlock()
	lock.line.add(c)
	return c
}

// haveTurn is called with the line's mutex held.
func (c *claim) haveTurn() {
	c.first.Do(func() {
		close(c.turn)
		if c.notify != nil {
			c.lock.line.notify = append(c.lock.line.notify, c.notify)
		}
	})
}

// setNotify sets what is called when the claim has its turn or is over, perhaps at once. What was
// set before may still be called once.
func (c *claim) setNotify(notify func()) {
	n := &c.lock.line
	n.mu.Lock()
	c.notify = notify
	n.mu.Unlock()
	if notify == nil {
		return
	}
	select {
	case <-c.turn:
		notify()
	case <-c.over.Done():
		notify()
	default:
	}
}

func (c *claim) notifyOver() {
	n := &c.lock.line
	n.mu.Lock()
	notify := c.notify
	n.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// isOver reports whether another process may have its turn.
func (c *claim) isOver() bool { return c.over.Err() != nil || !c.lease.alive() }

// place makes the key. If it is the first one, no watch is needed: the answer says so. It takes the
// place of another claim's key, if there is one, in the same transaction.
func (c *claim) place(ctx context.Context, replaced *claim) {
	s := c.lock.space
	ctx, cancel := context.WithTimeout(ctx, s.attemptTime())
	defer cancel()
	transaction := s.client.Txn(ctx)
	if replaced != nil {
		put, all := c.placing()
		transaction = transaction.If(replaced.exists()).
			Then(clientv3.OpDelete(replaced.key), put, all).Else(put, all)
	} else {
		transaction = transaction.Then(c.placing())
	}
	answer, err := transaction.Commit()
	c.answered(answer, err)
	if replaced != nil {
		if err != nil {
			s.run(replaced.withdraw)
		} else {
			replaced.forget()
		}
	}
}

// placeInThread makes the key, and goes on in the background if that takes longer than the thread
// waits.
func (c *claim) placeInThread(r *request) {
	answer, err := r.transaction().Then(c.placing()).Commit()
	if !r.isLeft(err) {
		c.answered(answer, err)
		return
	}
	c.lock.space.run(func() {
		ctx, cancel := context.WithTimeout(c.lease.over, c.lock.space.attemptTime())
		defer cancel()
		c.answered(r.rest(ctx))
	})
}

// placing returns the operations that make the key and list those of the lock.
func (c *claim) placing() (clientv3.Op, clientv3.Op) {
	return clientv3.OpPut(c.key, c.lock.space.value, clientv3.WithLease(c.lease.id)),
		clientv3.OpGet(c.lock.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
}

func (c *claim) answered(answer *clientv3.TxnResponse, err error) {
	if err != nil {
		c.failed(err)
		return
	}
	before := revisions(answer.Responses[len(answer.Responses)-1].GetResponseRange().Kvs)
	delete(before, c.key)
	c.took = now() - c.asked
	c.lock.line.placed(c, answer.Header.Revision, before)
	close(c.placed)
}

// failed ends a claim whose key may or may not be there. What is deleted here may still be made by
// a request that is under way, so the lease looks for such keys for a while.
func (c *claim) failed(err error) {
	c.err = err
	close(c.placed)
	c.lock.line.remove(c)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		c.lease.expire()
		c.forget()
	case refused(err):
		c.forget()
	default: // the name is not used again
		c.unclaim()
		c.lease.suspectKeys()
		c.lock.space.run(func() {
			ctx, cancel := context.WithTimeout(c.lease.over, c.lock.space.attemptTime())
			defer cancel()
			_, _ = c.lock.space.client.Delete(ctx, c.key)
		})
	}
}

// failure returns why the key was not made; nil if it was, or if etcd has not answered yet.
func (c *claim) failure() error {
	select {
	case <-c.placed:
		return c.err
	default:
		return nil
	}
}

// tryPlace makes the key only if the lock has none. It reports whether it did.
func (c *claim) tryPlace(ctx context.Context) (bool, error) {
	s := c.lock.space
	ctx, cancel := context.WithTimeout(ctx, s.attemptTime())
	defer cancel()
	none, put := c.tryPlacing()
	return c.tried(s.client.Txn(ctx).If(none).Then(put).Commit())
}

// tryPlacing returns the comparison and the operation of tryPlace.
func (c *claim) tryPlacing() (clientv3.Cmp, clientv3.Op) {
	return clientv3.Compare(clientv3.CreateRevision(c.lock.prefix).WithPrefix(), "=", 0),
		clientv3.OpPut(c.key, c.lock.space.value, clientv3.WithLease(c.lease.id))
}

func (c *claim) tried(answer *clientv3.TxnResponse, err error) (bool, error) {
	if err != nil {
		c.failed(err)
		return false, err
	}
	if !answer.Succeeded {
		c.lock.line.remove(c)
		c.forget()
		return false, nil
	}
	c.lock.line.placed(c, answer.Header.Revision, nil)
	close(c.placed)
	return true, nil
}

// exists is true in etcd as long as the key is the one that the claim has made.
func (c *claim) exists() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(c.key), "=", c.revision.Load())
}

// forget ends the claim, whose key is gone.
func (c *claim) forget() {
	if c.unclaim() {
		c.lock.line.giveSlot(c)
	}
}

// unclaim ends the claim, whose key may be there and can be swept. It reports whether it is the
// first to do so.
func (c *claim) unclaim() bool {
	s := c.lock.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[c.key] != c {
		return false
	}
	delete(s.claims, c.key)
	c.end()
	return true
}

// delete deletes the key. It reports whether the key was there. The claim is to be forgotten then.
func (c *claim) delete(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.lock.space.attemptTime())
	defer cancel()
	return c.deleted(c.deleting(c.lock.space.client.Txn(ctx)).Commit())
}

func (c *claim) deleting(transaction clientv3.Txn) clientv3.Txn {
	return transaction.If(c.exists()).Then(clientv3.OpDelete(c.key))
}

func (c *claim) deleted(answer *clientv3.TxnResponse, err error) (bool, error) {
	return err == nil && answer.Succeeded, err
}

// withdraw deletes the key, however long etcd does not answer, until the lease is over.
func (c *claim) withdraw() {
	<-c.placed
	c.lock.line.remove(c)
	defer c.forget()
	for c.err == nil && c.lease.alive() {
		if _, err := c.delete(c.lease.over); err == nil {
			return
		}
		pause(c.lease.over, retryPause)
	}
}
