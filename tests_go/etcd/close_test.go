package etcd_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// A lease that is granted while the space closes is revoked, and does not last for its TTL.
func TestCloseDuringTheGrant(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	space := newSpace(t, etcd.Options{TTL: time.Hour}, between.address())
	if _, err := space.Lock("x").Holder(context.Background()); err != nil { // it is connected
		t.Fatal(err)
	}
	between.hang(true)
	ended := make(chan error)
	go func() {
		_, err := space.Lock("x").Acquire(context.Background())
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond) // if it comes later, it is told that the space is closed
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = space.Close(ctx)
	between.hang(false)
	if err := <-ended; !errors.Is(err, etcd.ErrClosed) {
		t.Errorf("Acquire: %v", err)
	}
	client := connect(t, endpoint)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		leases, err := client.Leases(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(leases.Leases) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the lease stays")
		}
	}
}
