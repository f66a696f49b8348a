package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// A patience repeats requests that fail, for as long as [Options.Patience].
type patience struct {
	space *Space
	until time.Time
}

func (s *Space) newPatience() patience {
	return patience{s, time.Now().Add(s.options.Patience)}
}

// mostAttempts is how many requests a patience has time for, if there are as many members.
const mostAttempts = 3

// attemptTime is how long a request waits for its answer. The member that has it may hang while the
// others answer, and the client sends the next request to another one.
func (s *Space) attemptTime() time.Duration {
	return s.options.Patience / time.Duration(min(len(s.client.Endpoints()), mostAttempts))
}

// isShort reports whether a context may end before a request has been answered or given up. Such a
// request belongs in a goroutine of its own: if it ended with the context, it would be unknown what
// it has done. A switch of goroutines costs time, so the others do without.
func (s *Space) isShort(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Until(deadline) < s.options.Patience
}

// openLease is [Space.openLease], which a call that began before may have asked for.
func (p patience) openLease(ctx context.Context) (*lease, error) {
	ctx, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	return p.space.openLease(ctx)
}

// bear returns nil, after a pause, if the request that has failed may be repeated. Otherwise it
// returns what to tell the caller.
func (p patience) bear(ctx context.Context, err error) error {
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
	pause(ctx, retryPause)
	return nil
}
