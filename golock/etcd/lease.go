package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A lease is kept alive until it is closed or etcd cannot be reached.
//
// Its deadline is the time at which its last renewal was sent, plus the TTL, less a margin. etcd
// counts the TTL from the renewal's arrival, so it ends the lease later: the margin is for clocks
// that run at different rates. A deadline that has passed never moves: whoever has seen it pass
// sees so from then on.
type lease struct {
	space    *Space
	id       clientv3.LeaseID
	ttl      time.Duration
	deadline atomic.Int64 // of now(); 0 once it has passed
	over     context.Context
	end      context.CancelFunc // ends `over`
	suspect  atomic.Int64       // until this moment etcd may make keys that nobody wants
	look     chan struct{}      // asks renew to look for them soon
}

// While chrony corrects a clock, that may run faster or slower by a twelfth (its maxslewrate). This
// one may be slow while etcd's is fast.
func margin(ttl time.Duration) time.Duration { return ttl/6 + 10*time.Millisecond }

// Timers stand still while the machine is suspended, so none runs for longer.
const longestTimer = time.Second

func grant(ctx context.Context, space *Space) (*lease, error) {
	sent := now()
	seconds := max(int64((space.options.TTL+time.Second-1)/time.Second), 1)
	answer, err := space.client.Grant(ctx, seconds)
	if err != nil {
		return nil, err
	}
	l := &lease{
		space: space, id: answer.ID, ttl: time.Duration(answer.TTL) * time.Second,
		look: make(chan struct{}, 1),
	}
	l.over, l.end = context.WithCancel(space.ctx)
	l.deadline.Store(int64(sent + l.ttl - margin(l.ttl)))
	space.run(l.watch)
	space.run(l.renew)
	return l, nil
}

// alive reports whether nobody else can have the lease's locks yet.
func (l *lease) alive() bool {
	for {
		deadline := l.deadline.Load()
		if deadline == 0 {
			return false
		}
		if int64(now()) < deadline {
			return true
		}
		if l.deadline.CompareAndSwap(deadline, 0) {
			l.end()
			return false
		}
	}
}

// expire ends the lease at once.
func (l *lease) expire() {
	l.deadline.Store(0)
	l.end()
}

// extend moves the deadline after a renewal that was sent at a moment. It reports whether the lease
// is alive.
func (l *lease) extend(sent time.Duration) bool {
	deadline := l.deadline.Load()
	next := max(int64(sent+l.ttl-margin(l.ttl)), deadline)
	return l.alive() && deadline != 0 && l.deadline.CompareAndSwap(deadline, next)
}

// watch ends the lease when its deadline passes.
func (l *lease) watch() {
	for l.alive() {
		left := time.Duration(l.deadline.Load()) - now()
		pause(l.over, min(max(left, 0), longestTimer))
	}
}

// A renewal is what has come of asking for one.
type renewal struct {
	sent time.Duration // of now()
	err  error
}

// renew keeps the lease alive. A renewal that is not answered in a ninth of the TTL is sent again,
// and so to another member: the first may hang, or only be slow. In the end, renew revokes the
// lease, which frees its locks: everybody here knows by then that they are lost.
func (l *lease) renew() {
	answers := make(chan renewal)
	timer := time.NewTimer(l.ttl / 3)
	defer timer.Stop()
	for l.alive() {
		select {
		case <-l.over.Done():
		case <-l.look:
			timer.Reset(0)
		case <-timer.C:
			l.space.run(func() { l.askForRenewal(answers) })
			timer.Reset(l.ttl / 9)
		case answer := <-answers:
			timer.Reset(l.take(answer))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(l.ttl, closeTimeout))
	defer cancel()
	_, _ = l.space.client.Revoke(ctx, l.id)
}

func (l *lease) askForRenewal(answers chan<- renewal) {
	sent := now()
	err := l.renewOnce()
	select {
	case answers <- renewal{sent, err}:
	case <-l.over.Done():
	}
}

// take takes a renewal over, and returns when to ask for the next one.
func (l *lease) take(r renewal) time.Duration {
	switch {
	case r.err == nil:
		if !l.extend(r.sent) {
			l.expire()
			return 0
		}
		pause := time.Duration(l.deadline.Load()) + margin(l.ttl) - 2*l.ttl/3 - now()
		if until := l.suspect.Load(); int64(now()) < until {
			l.sweep()
			pause = min(pause, sweepPause)
		} else {
			l.suspect.CompareAndSwap(until, 0)
		}
		return max(pause, retryPause)
	case errors.Is(r.err, rpctypes.ErrLeaseNotFound):
		l.expire()
		return 0
	}
	if l.suspect.Load() != 0 {
		l.suspect.Store(int64(now() + longestRequest))
	}
	return retryPause
}

var errTermChanged = errors.New("golock/etcd: the leader changed during the renewal")

// renewOnce renews the lease. In older versions of etcd a leader answers renewals by itself, also
// one that was paused and does not know yet that the others have elected another. So a read
// follows, which a majority confirms: if it is of the same term, the leader was one.
func (l *lease) renewOnce() error {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(l.over), l.ttl/3)
	defer cancel()
	stream, err := pb.NewLeaseClient(l.space.client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(l.id)}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if answer.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	read, err := l.space.client.Get(ctx, l.space.options.Prefix, clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if read.Header.RaftTerm != answer.Header.RaftTerm {
		return errTermChanged
	}
	return nil
}

// An answer that did not arrive leaves open whether etcd has made the key, or will. The keys of a
// lease that no claim has are deleted, for as long as a request may be under way in etcd.
const (
	longestRequest = 30 * time.Second
	sweepPause     = time.Second
)

func (l *lease) suspectKeys() {
	l.suspect.Store(int64(now() + longestRequest))
	select {
	case l.look <- struct{}{}:
	default:
	}
}

func (l *lease) sweep() {
	ctx, cancel := context.WithTimeout(l.over, l.ttl/3)
	defer cancel()
	answer, err := l.space.client.TimeToLive(ctx, l.id, clientv3.WithAttachedKeys())
	if err != nil {
		return
	}
	for _, key := range answer.Keys {
		l.sweepKey(ctx, string(key))
	}
}

// sweepKey deletes a key that no claim has. A claim has its key before etcd does, so the key that
// was read belongs to none; but its name may get a new claim before the deletion arrives.
func (l *lease) sweepKey(ctx context.Context, key string) {
	read, err := l.space.client.Get(ctx, key, clientv3.WithKeysOnly())
	if err != nil || len(read.Kvs) == 0 || l.space.claimed(key) {
		return
	}
	same := clientv3.Compare(clientv3.CreateRevision(key), "=", read.Kvs[0].CreateRevision)
	_, _ = l.space.client.Txn(ctx).If(same).Then(clientv3.OpDelete(key)).Commit()
}
