package etcd

import (
	"context"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Lock is a mutual exclusion lock of all processes whose spaces have the same prefix. The
// goroutines of this process that wait for it do so in a line of their own, and the process has one
// key in etcd, in the order of all processes. The process keeps a lock that it has for the next in
// its line until the hand-off threshold has passed, and then goes behind the others.
type Lock struct {
	space   *Space
	name    string
	prefix  string
	gate    gate // of this process; the holder has it
	waiting atomic.Int64
	left    atomic.Int64 // when somebody gave up last, of now()
	claim   *claim       // kept from one holder to the next; of who has the gate
	line    line
	last    atomic.Pointer[Hold] // the one that was granted last
}

func newLock(s *Space, name string) *Lock {
	lock := &Lock{space: s, name: name, prefix: s.prefixOf(name)}
	lock.line = line{lock: lock, claims: map[string]*claim{}, unguard: func() {}}
	return lock
}

// Name returns the name with which [Space.Lock] was called.
func (l *Lock) Name() string { return l.name }

// Acquire waits for the lock and takes it. If the context ends first, Acquire returns the context's
// cause without the lock, at once, also if etcd does not answer. It returns an [UnreachableError]
// if etcd has not answered for [Options.Patience], a [RefusedError] if etcd does not permit it, and
// [ErrClosed] after [Space.Close].
func (l *Lock) Acquire(ctx context.Context) (*Hold, error) {
	l.waiting.Add(1)
	return l.wait(ctx)
}

// wait waits for the gate, and for this process's turn. The caller is one of those who wait.
func (l *Lock) wait(ctx context.Context) (*Hold, error) {
	err := l.gate.LockContext(ctx)
	l.waiting.Add(-1)
	if err != nil {
		l.settle()
		return nil, context.Cause(ctx)
	}
	hold, err := l.enter(ctx)
	if err != nil {
		l.leave()
	}
	return hold, err
}

// TryAcquire takes the lock if nobody has it and nobody waits for it. Otherwise it returns nil.
// Errors are those of [Lock.Acquire].
func (l *Lock) TryAcquire(ctx context.Context) (*Hold, error) {
	if !l.gate.TryLock() {
		return nil, nil
	}
	hold, err := l.tryEnter(ctx)
	if hold == nil {
		l.leave()
	}
	return hold, err
}

// leave opens the gate. A claim is left to the next goroutine in the process's line.
func (l *Lock) leave() {
	l.gate.Unlock()
	l.settle()
}

// settle withdraws a claim that was left to a goroutine which then gave up. Either this goroutine
// sees that nobody waits, or the one that gives up, later, sees that the gate is open.
func (l *Lock) settle() {
	l.left.Store(int64(now()))
	if l.waiting.Load() != 0 || !l.gate.TryLock() {
		return
	}
	c := l.claim
	l.gate.Unlock()
	if c != nil && c.unwanted.CompareAndSwap(false, true) {
		l.space.run(func() { l.withdrawLater(c) })
	}
}

// A claim is unwanted for as long as etcd took to make its key, and at least for a while, before it
// is withdrawn. In that time another call takes it over: if etcd takes longer to answer than each
// of several calls waits, one of them gets the lock nevertheless.
const (
	shortestUnwanted = 20 * time.Millisecond
	longestUnwanted  = time.Second
)

func (l *Lock) withdrawLater(c *claim) {
	<-c.placed
	d := min(max(c.took, shortestUnwanted), longestUnwanted)
	for left := d; left > 0 && !c.isOver(); left = d - (now() - time.Duration(l.left.Load())) {
		pause(c.over, left)
	}
	c.unwanted.Store(false)
	if l.waiting.Load() == 0 && l.gate.TryLock() {
		if l.claim == c {
			l.abandon()
		}
		l.gate.Unlock()
	}
}

// enter waits for this process's turn. The caller has the gate.
func (l *Lock) enter(ctx context.Context) (*Hold, error) {
	failing := l.space.newPatience()
	for {
		c := l.claim
		if c == nil {
			lease, err := failing.openLease(ctx)
			if err != nil {
				if err = failing.bear(ctx, err); err != nil {
					return nil, err
				}
				continue
			}
			c = newClaim(l, lease)
			l.claim = c
			if l.space.isShort(ctx) {
				l.space.run(func() { c.place(lease.over, nil) })
			} else {
				c.place(ctx, nil)
			}
		}
		select {
		case <-c.turn:
			if hold := l.hold(c); hold != nil {
				return hold, nil
			}
		case <-c.over.Done():
			l.abandon()
			if err := c.failure(); err != nil {
				if err = failing.bear(ctx, err); err != nil {
					return nil, err
				}
			} else {
				failing = l.space.newPatience()
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryEnter takes the lock for this process if no other one has it.
func (l *Lock) tryEnter(ctx context.Context) (*Hold, error) {
	if c := l.claim; c != nil {
		select {
		case <-c.turn:
			if hold := l.hold(c); hold != nil {
				return hold, nil
			}
		default:
			return nil, nil
		}
	}
	failing := l.space.newPatience()
	for {
		lease, err := failing.openLease(ctx)
		if err == nil {
			c := newClaim(l, lease)
			taken, failure := c.tryPlace(ctx)
			if failure == nil && !taken {
				return nil, nil
			}
			if failure == nil {
				l.claim = c
				if hold := l.hold(c); hold != nil {
					return hold, nil
				}
				continue
			}
			err = failure
		}
		if err = failing.bear(ctx, err); err != nil {
			return nil, err
		}
	}
}

// hold grants the lock. It returns nil if the claim is over; the process needs another one then.
func (l *Lock) hold(c *claim) *Hold {
	if c.isOver() {
		l.abandon()
		return nil
	}
	if c.holds == 0 {
		c.since = now()
	}
	c.holds++
	h := &Hold{lock: l, claim: c, token: c.revision.Load()<<tokenShift + c.holds}
	l.last.Store(h)
	return h
}

// abandon withdraws the claim, if there is one, without waiting for etcd.
func (l *Lock) abandon() {
	if c := l.claim; c != nil {
		l.claim = nil
		l.space.run(c.withdraw)
	}
}

// A token is the revision at which the process's key was made, and the number of the hold among
// those that the process has granted with that key.
const (
	tokenShift = 16
	mostHolds  = 1<<tokenShift - 1
)

// A Hold is one time that a lock was taken. Any goroutine may use it.
type Hold struct {
	lock  *Lock
	claim *claim
	token int64
	state atomic.Int32
}

const (
	held = iota
	released
	releasedLost // when it was lost already
)

// Lost reports whether somebody else may have the lock. It does not ask etcd: it compares the clock
// with the lease's deadline, so it is right also after a pause of this process or machine.
func (h *Hold) Lost() bool { return h.claim.isOver() }

// Check returns [ErrLost] if the lock was lost, and [ErrReleased] after a release.
func (h *Hold) Check() error {
	switch {
	case h.state.Load() != held:
		return ErrReleased
	case h.Lost():
		return ErrLost
	}
	return nil
}

// Done returns a channel that is closed when the lock is lost, or after its release. A timer closes
// it, which may be late after a pause; Lost is not.
func (h *Hold) Done() <-chan struct{} { return h.claim.over.Done() }

// WasLost reports, once Done is closed, whether the lock was lost before it was released.
func (h *Hold) WasLost() bool { return h.state.Load() != released }

// Token returns a number that is higher than those of all holds of this lock before this one. A
// store that refuses writes with a lower token than it has seen is safe from holders that do not
// know yet that they have lost the lock: see [Fence].
func (h *Hold) Token() int64 { return h.token }

// Key returns the key in etcd that stands for the hold.
func (h *Hold) Key() string { return h.claim.key }

// Revision returns the revision at which the key was made.
func (h *Hold) Revision() int64 { return h.claim.revision.Load() }

// Guard returns a comparison for a transaction of etcd, which holds as long as the process has the
// lock:
//
//	answer, err := client.Txn(ctx).If(hold.Guard()).Then(clientv3.OpPut(key, value)).Commit()
func (h *Hold) Guard() clientv3.Cmp { return h.claim.exists() }

// releaseTimeout is for how long a release waits for etcd. The lock is free for this process's
// waiters before that.
const releaseTimeout = time.Second

// Release gives the lock back. It returns [ErrLost] if the lock was lost before, and [ErrReleased]
// if it was released before. It waits until etcd has confirmed, but not longer than the context,
// and at most a second. If etcd has not confirmed by then, the release goes on in the background.
func (h *Hold) Release(ctx context.Context) error {
	if deletes, err := h.giveUp(); !deletes {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	return h.confirm(h.claim.delete(ctx))
}

// giveUp ends the hold, and opens the gate. It reports whether the key is to be deleted then.
func (h *Hold) giveUp() (deletes bool, _ error) {
	l, c := h.lock, h.claim
	over, state := c.isOver(), int32(released)
	if over {
		state = releasedLost
	}
	if !h.state.CompareAndSwap(held, state) {
		return false, ErrReleased
	}
	waiting := l.waiting.Load() > 0
	switch {
	case over:
		l.abandon()
		l.gate.Unlock()
		return false, ErrLost
	case waiting && now()-c.since < l.space.options.Handoff && c.holds < mostHolds:
		l.leave()
		return false, nil
	case waiting:
		l.line.remove(c)
		next := newClaim(l, c.lease)
		l.claim = next
		l.space.run(func() { next.place(next.lease.over, c) })
		l.leave()
		return false, nil
	}
	l.claim = nil
	l.line.remove(c)
	l.gate.Unlock()
	return true, nil
}

// confirm takes over the answer to the deletion of the key.
func (h *Hold) confirm(was bool, err error) error {
	c := h.claim
	if err != nil {
		h.lock.space.run(c.withdraw)
		return nil
	}
	if !was {
		h.state.Store(releasedLost)
	}
	c.forget()
	if !was {
		return ErrLost
	}
	return nil
}

// Holder returns the process that has the lock, as far as etcd knows, or nil if it is free. It
// returns an [UnreachableError] if etcd has not answered for [Options.Patience] or when the time of
// the context is over, and a [RefusedError] if etcd refuses.
func (l *Lock) Holder(ctx context.Context) (*Process, error) {
	s := l.space
	limited, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	var read *clientv3.GetResponse
	for read == nil {
		attempt, cancel := context.WithTimeout(limited, s.attemptTime())
		answer, err := s.client.Get(attempt, l.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1),
			clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
		cancel()
		if err != nil && (limited.Err() != nil || attempt.Err() == nil) {
			return nil, s.explainLate(ctx, err)
		}
		read = answer
	}
	if len(read.Kvs) == 0 {
		return nil, nil
	}
	process := decode(read.Kvs[0].Value)
	return &process, nil
}

// Commit runs operations in one transaction of etcd if the process still has the lock then. If not,
// it runs none and returns [ErrLost]. Its other errors are those of [Lock.Holder]. After an
// UnreachableError it is not known whether they have run.
func (h *Hold) Commit(ctx context.Context, operations ...clientv3.Op) (*clientv3.TxnResponse,
	error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	s := h.lock.space
	limited, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	answer, err := s.client.Txn(limited).If(h.Guard()).Then(operations...).Commit()
	if err != nil {
		return nil, s.explainLate(ctx, err)
	}
	if !answer.Succeeded {
		return nil, ErrLost
	}
	return answer, nil
}
