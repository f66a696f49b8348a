package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// A member that cannot be reached, or hangs, is passed over: the others are a majority.
func startClusterBehindProxies(t *testing.T) (proxies []*proxy, endpoints []string) {
	for _, endpoint := range startCluster(t, 3, "").endpoints {
		between := startProxy(t, endpoint)
		proxies = append(proxies, between)
		endpoints = append(endpoints, between.address())
	}
	return proxies, endpoints
}

func TestLeaseOutlivesASilentMember(t *testing.T) {
	proxies, endpoints := startClusterBehindProxies(t)
	const ttl = 2 * time.Second
	var holds []*etcd.Hold
	for range 20 {
		space := newSpace(t, etcd.Options{TTL: ttl}, endpoints...)
		holds = append(holds, acquire(t, space.Lock("x"+string(rune('a'+len(holds))))))
	}
	for _, each := range proxies {
		each.hang(true)
		time.Sleep(2 * ttl)
		each.hang(false)
	}
	lost := 0
	for _, hold := range holds {
		if hold.Lost() {
			lost++
		}
		_ = hold.Release(context.Background())
	}
	if lost > 0 {
		t.Fatalf("%d of %d locks were lost", lost, len(holds))
	}
}

func TestAcquirePassesASilentMember(t *testing.T) {
	proxies, endpoints := startClusterBehindProxies(t)
	options := etcd.Options{TTL: time.Minute, Patience: 3 * time.Second}
	lock := newSpace(t, options, endpoints...).Lock("x")
	ctx := context.Background()
	for _, each := range proxies {
		each.hang(true)
		for range 3 { // at least one of them begins with that member
			hold, err := lock.Acquire(ctx)
			if err != nil {
				t.Fatal(err)
			}
			release(t, hold)
		}
		each.hang(false)
	}
}
