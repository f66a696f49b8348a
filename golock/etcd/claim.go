package etcd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A claim is a key of this process in a lock's line, or the wish to make one. Its requests belong
// to no caller: one that stops waiting leaves the claim to the next, or lets it be withdrawn.
type claim struct {
	lock     *Lock
	lease    *lease
	key      string
	revision atomic.Int64  // at which the key was made; 0: not known to be made
	placed   chan struct{} // closed when the answer is there
	err      error         // why the key was not made; set before placed is closed
	turn     chan struct{} // closed when the key is the first
	first    sync.Once
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
		key:    lock.space.newKey(lock, l),
		placed: make(chan struct{}),
		turn:   make(chan struct{}),
	}
	c.over, c.end = context.WithCancel(l.over)
	lock.space.mu.Lock()
	lock.space.claims[c.key] = c
	lock.space.mu.Unlock()
	lock.line.add(c)
	return c
}

// placedAt notes the revision at which the key was made. It reports whether that is the claim's.
func (c *claim) placedAt(revision int64) bool {
	return c.revision.CompareAndSwap(0, revision) || c.revision.Load() == revision
}

func (c *claim) haveTurn() { c.first.Do(func() { close(c.turn) }) }

// isOver reports whether another process may have its turn.
func (c *claim) isOver() bool { return c.over.Err() != nil || !c.lease.alive() }

// place makes the key. If it is the first one, no watch is needed: the answer says so. It takes the
// place of another claim's key, if there is one, in the same transaction.
func (c *claim) place(replaced *claim) {
	s := c.lock.space
	put := clientv3.OpPut(c.key, s.value, clientv3.WithLease(c.lease.id))
	first := clientv3.OpGet(c.lock.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1),
		clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	ctx, cancel := context.WithTimeout(c.lease.over, s.options.Patience)
	defer cancel()
	transaction := s.client.Txn(ctx)
	if replaced == nil {
		transaction = transaction.Then(put, first)
	} else {
		transaction = transaction.If(replaced.exists()).
			Then(clientv3.OpDelete(replaced.key), put, first).Else(put, first)
	}
	answer, err := transaction.Commit()
	if err != nil {
		c.failed(err)
		if replaced != nil {
			s.running.Go(func() { replaced.withdraw() })
		}
		return
	}
	c.placedAt(answer.Header.Revision)
	close(c.placed)
	if replaced != nil {
		replaced.forget()
	}
	keys := answer.Responses[len(answer.Responses)-1].GetResponseRange().Kvs
	if len(keys) > 0 && string(keys[0].Key) == c.key {
		c.haveTurn()
		return
	}
	c.lock.line.watch()
}

// failed ends a claim whose key may or may not be there.
func (c *claim) failed(err error) {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		c.lease.expire()
	} else if !refused(err) {
		c.lease.suspectKeys()
	}
	c.err = err
	close(c.placed)
	c.lock.line.remove(c)
	c.forget()
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
	ctx, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	none := clientv3.Compare(clientv3.CreateRevision(c.lock.prefix).WithPrefix(), "=", 0)
	put := clientv3.OpPut(c.key, s.value, clientv3.WithLease(c.lease.id))
	answer, err := s.client.Txn(ctx).If(none).Then(put).Commit()
	if err != nil {
		c.failed(err)
		return false, err
	}
	if !answer.Succeeded {
		c.lock.line.remove(c)
		c.forget()
		return false, nil
	}
	c.placedAt(answer.Header.Revision)
	close(c.placed)
	c.haveTurn()
	return true, nil
}

// exists is true in etcd as long as the key is the one that the claim has made.
func (c *claim) exists() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(c.key), "=", c.revision.Load())
}

// forget ends the claim: its key is gone, or the sweep may delete it.
func (c *claim) forget() {
	s := c.lock.space
	s.mu.Lock()
	delete(s.claims, c.key)
	s.mu.Unlock()
	c.end()
}

// withdraw deletes the key, however long etcd does not answer, until the lease is over. It reports
// whether the key was there.
func (c *claim) withdraw() bool {
	<-c.placed
	c.lock.line.remove(c)
	defer c.forget()
	unanswered := false
	for c.err == nil && c.lease.alive() {
		ctx, cancel := context.WithTimeout(c.lease.over, c.lock.space.options.Patience)
		answer, err := c.lock.space.client.Txn(ctx).If(c.exists()).
			Then(clientv3.OpDelete(c.key)).Commit()
		cancel()
		if err == nil {
			return answer.Succeeded || unanswered
		}
		unanswered = true
		pause(c.lease.over, retryPause)
	}
	return false
}
