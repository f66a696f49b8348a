package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// One of three members can be connected to, but hangs. The client sends it every third request, and
// would notice after 8 s: a call that meets it goes on with the others.
func TestHungMemberFailsNoCall(t *testing.T) {
	endpoint := startServer(t)
	var proxies []*proxy
	var endpoints []string
	for range 3 {
		p := startProxy(t, endpoint)
		proxies, endpoints = append(proxies, p), append(endpoints, p.address())
	}
	options := etcd.Options{TTL: time.Hour, Patience: 3 * time.Second}
	lock := newSpace(t, options, endpoints...).Lock("x")
	release(t, acquire(t, lock)) // there is a lease
	for _, p := range proxies {
		await(func() bool {
			connections, _ := p.count()
			return connections > 0
		})
	}
	proxies[0].hang(true)
	for range 4 { // an acquire and a release are two requests
		hold, err := lock.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		release(t, hold)
	}
	for range 3 {
		if _, err := lock.Holder(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
