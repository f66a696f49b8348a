package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A key that nobody waits for stays for as long as etcd took to make it: a loop of tries that are
// shorter than that takes it over.
func TestUnwantedKeyStaysAsLongAsItTook(t *testing.T) {
	ctx, endpoint := context.Background(), startServer(t)
	between := startProxy(t, endpoint)
	space := newSpace(t, etcd.Options{TTL: time.Minute}, between.address())
	release(t, acquire(t, space.Lock("y"))) // there is a lease
	acquire(t, newSpace(t, etcd.Options{}, endpoint).Lock("x"))
	changes := connect(t, endpoint).Watch(ctx, "golock/x/", clientv3.WithPrefix())

	between.silence(true)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := space.Lock("x").Acquire(short); err == nil {
		t.Fatal("two holders")
	}
	gaveUp := time.Now()
	time.Sleep(500 * time.Millisecond) // which the answer takes
	answered := time.Now()
	between.silence(false)
	for answer := range changes {
		for _, event := range answer.Events {
			if event.Type == clientv3.EventTypeDelete {
				if stayed := time.Since(answered); stayed < answered.Sub(gaveUp) {
					t.Fatalf("the key stayed for %v", stayed)
				}
				return
			}
		}
	}
}
