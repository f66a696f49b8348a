package etcd

import (
	"context"

	"github.com/golock/golock/internal/core"
)

// A gate is a [golock.Lock] that golock.sight does not show, because it shows the lock in etcd.
type gate struct {
	word uint32
}

func (g *gate) cell() core.Cell { return core.LockCell(&g.word) }

func (g *gate) TryLock() bool { return g.cell().TryAcquire() }

func (g *gate) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.TryLock() {
		return nil
	}
	return g.cell().Wait(ctx, core.Forever)
}

func (g *gate) Unlock() {
	if !g.cell().Release(1, 1, core.ShouldCheckClock()) {
		panic("golock/etcd: the gate was open")
	}
}
