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

// bear returns nil, after a pause, if the request that has failed may be repeated. Otherwise it
// returns what to tell the caller.
func (p patience) bear(ctx context.Context, err error) error {
	switch {
	case p.space.isClosed():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return nil
	case refused(err), time.Now().After(p.until):
		return p.space.explain(ctx, err)
	}
	pause(ctx, retryPause)
	return nil
}
