package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// etcd has made a key, but the answer was lost, and for longer than the call's patience nothing
// reaches etcd. The key goes once etcd answers again, however long the lease is.
func TestKeyWhoseAnswerWasLostGoes(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	space := newSpace(t, etcd.Options{TTL: time.Hour, Patience: 100 * time.Millisecond},
		between.address())
	release(t, acquire(t, space.Lock("x"))) // there is a lease
	between.silence(true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = space.Lock("x").Acquire(ctx)
	}()
	waitForKeys(t, endpoint, 1)
	between.refuse(true)
	cancel()
	<-ended
	time.Sleep(300 * time.Millisecond) // longer than the patience of the deletion
	between.silence(false)
	between.refuse(false)
	requireNoKeys(t, endpoint)
}
