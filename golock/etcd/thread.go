package etcd

import (
	"context"
	"time"
)

// An Acquisition is an acquire that was begun by a thread of C. What such a thread does in Go ties
// it to a goroutine: it would wait for two switches of threads at each answer of etcd if it left
// the connection to the client. So it makes the first transaction itself, and leaves to Finish what
// is not answered soon.
type Acquisition struct {
	lock    *Lock
	hold    *Hold
	entered bool        // it has the gate
	claim   *claim      // for which it waits, once Notify was called
	stop    func() bool // of the call at the claim's end
}

// BeginAcquire begins an [Lock.Acquire]. It may wait for etcd until a moment, in the calling
// thread, or shorter if a signal handler runs there; the zero time means that it must not. The
// caller has to call Finish unless Hold returns one, and is in the process's line from now on.
func (l *Lock) BeginAcquire(until time.Time) *Acquisition {
	a := &Acquisition{lock: l}
	l.space.threads.used.Store(true)
	if !l.gate.TryLock() {
		l.waiting.Add(1)
		return a
	}
	a.entered = true
	if until.IsZero() {
		return a
	}
	if l.claim == nil {
		lease := l.space.current.Load()
		if lease == nil || !lease.alive() {
			return a
		}
		conn := l.space.takeConn()
		if conn == nil {
			return a
		}
		l.claim = newClaim(l, lease)
		l.claim.placeInThread(&request{space: l.space, conn: conn, until: until})
	}
	select {
	case <-l.claim.turn:
		a.hold = l.hold(l.claim)
	default:
	}
	return a
}

// Hold returns the hold if the lock was acquired, and otherwise nil.
func (a *Acquisition) Hold() *Hold { return a.hold }

// Notify makes a function be called when Take may succeed, perhaps at once. It may be called more
// than once, and once after Take was called. Notify returns false if the thread has to call Finish
// instead.
func (a *Acquisition) Notify(notify func()) bool {
	if !a.entered || a.lock.claim == nil || a.lock.claim.over.Err() != nil {
		return false
	}
	a.claim = a.lock.claim
	a.stop = context.AfterFunc(a.claim.over, a.claim.notifyOver)
	a.claim.setNotify(notify)
	return true
}

// Take returns the hold if it is this process's turn. If it returns nil, the caller has to call
// Finish or Cancel.
func (a *Acquisition) Take() *Hold {
	a.claim.setNotify(nil)
	a.stop()
	select {
	case <-a.claim.turn:
		return a.lock.hold(a.claim)
	default:
		return nil
	}
}

// Cancel gives the acquire up.
func (a *Acquisition) Cancel() { a.lock.leave() }

// Finish goes on as [Lock.Acquire] does.
func (a *Acquisition) Finish(ctx context.Context) (*Hold, error) {
	if !a.entered {
		return a.lock.wait(ctx)
	}
	hold, err := a.lock.enter(ctx)
	if err != nil {
		a.lock.leave()
	}
	return hold, err
}

// A Releasing is a release that was begun by a thread of C.
type Releasing struct {
	hold    *Hold
	request *request // nil if there is no connection for threads
	ended   bool
	err     error
}

// BeginRelease does for [Hold.Release] what [Lock.BeginAcquire] does for [Lock.Acquire]. The caller
// has to call Finish unless the release has ended.
func (h *Hold) BeginRelease(until time.Time) *Releasing {
	r := &Releasing{hold: h}
	deletes, err := h.giveUp()
	if !deletes {
		r.ended, r.err = true, err
		return r
	}
	conn := h.lock.space.takeConn()
	if conn == nil {
		return r
	}
	r.request = &request{space: h.lock.space, conn: conn, until: until}
	answer, err := h.claim.deleting(r.request.transaction()).Commit()
	if !r.request.isLeft(err) {
		r.ended, r.err = true, h.confirm(h.claim.deleted(answer, err))
	}
	return r
}

// Ended reports whether the release has ended, and what [Hold.Release] would have returned.
func (r *Releasing) Ended() (bool, error) { return r.ended, r.err }

// Finish goes on as [Hold.Release] does.
func (r *Releasing) Finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if r.request == nil {
		return r.hold.confirm(r.hold.claim.delete(ctx, releaseTimeout))
	}
	return r.hold.confirm(r.hold.claim.deleted(r.request.rest(ctx)))
}
