package etcd_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var withPrefix = []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly()}

// Waits that end at all moments leave neither a key nor a closed gate.
func TestCancelledWaitsLeaveNothing(t *testing.T) {
	endpoint := startServer(t)
	var all sync.WaitGroup
	taken := 0
	for range 3 {
		lock := newSpace(t, etcd.Options{Handoff: time.Millisecond}, endpoint).Lock("x")
		for range 3 {
			all.Go(func() {
				for range 150 {
					d := time.Duration(rand.Int64N(int64(6 * time.Millisecond)))
					ctx, cancel := context.WithTimeout(context.Background(), d)
					if hold, err := lock.Acquire(ctx); err == nil {
						taken++
						release(t, hold)
					}
					cancel()
				}
			})
		}
	}
	all.Wait()
	t.Logf("%d of 1350 were taken", taken)
	requireNoKeys(t, endpoint)
	release(t, acquire(t, newSpace(t, etcd.Options{}, endpoint).Lock("x")))
}
