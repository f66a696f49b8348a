package golock

import (
	"context"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// acquire waits for a lock or a permit, and takes it.
func acquire(ctx context.Context, c core.Cell, word *uint32, kind sight.Kind, deadline int64) error {
	if !sight.Records(sight.Waits) {
		return c.Wait(ctx, deadline)
	}
	if !c.TryAcquire() {
		record := sight.WaitBegins(ctx, word, kind, deadline)
		err := c.Wait(ctx, deadline)
		sight.WaitEnded(record, err == nil)
		if err != nil {
			return err
		}
	}
	recordTaken(word, kind)
	return nil
}

func recordTaken(word *uint32, kind sight.Kind) {
	if core.OwnersRecorded() {
		sight.Taken(word, kind)
	}
}

// await waits for a notification or the end of the context.
func await(ctx context.Context, l *core.Listener, word *uint32, kind sight.Kind) {
	if !sight.Records(sight.Waits) {
		l.Await(ctx)
		return
	}
	record := sight.WaitBegins(ctx, word, kind, core.Forever)
	l.Await(ctx)
	sight.WaitEnded(record, l.Notification() != 0)
}
