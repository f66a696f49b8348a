package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// A patience repeats requests that fail, for as long as [Options.Patience]. A request that is not
// answered is repeated while there is time, because the client sends it to another member then.
type patience struct {
	space *Space
	until time.Time
	limit time.Duration // of the next request
}

func (s *Space) newPatience() *patience {
	return &patience{s, time.Now().Add(s.options.Patience), s.firstLimit()}
}

// firstLimit is how long the first of several requests may take.
func (s *Space) firstLimit() time.Duration { return s.options.Patience / 4 }

// nextLimit is how long the next one may take. etcd may be slow rather than one member silent.
func (s *Space) nextLimit(limit time.Duration) time.Duration {
	return min(2*limit, s.options.Patience/2)
}

// isShort reports whether a context may end before a request has been answered or given up. Such a
// request belongs in a goroutine of its own: if it ended with the context, it would be unknown what
// it has done. A switch of goroutines costs time, so the others do without.
func (s *Space) isShort(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Until(deadline) < s.options.Patience
}

// openLease is [Space.openLease], which a call that began before may have asked for.
func (p *patience) openLease(ctx context.Context) (*lease, error) {
	ctx, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	return p.space.openLease(ctx, p.limit)
}

// bear returns nil, after a pause, if the request that has failed may be repeated. Otherwise it
// returns what to tell the caller.
func (p *patience) bear(ctx context.Context, err error) error {
	switch {
	case p.space.isClosed():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, rpctypes.ErrLeaseNotFound) && time.Now().Before(p.until):
		return nil
	case refused(err), !time.Now().Before(p.until):
		return p.space.explain(ctx, err)
	}
	p.limit = p.space.nextLimit(p.limit)
	pause(ctx, retryPause)
	return nil
}
