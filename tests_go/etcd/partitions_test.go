package etcd_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// Members and workers are hosts of a network that loses packets: all of a host's, those of one
// direction, or those between two hosts.
func TestNoOverlapUnderPartitions(t *testing.T) { runPartitions(t, "") }

func TestNoOverlapUnderPartitionsOfProcesses(t *testing.T) { runPartitions(t, serverProgram(t)) }

func runPartitions(t *testing.T, program string) {
	n := faults(t)
	inNetwork(t, func(network *network) {
		c := newClusterOn(t, 3, program, network)
		c.start(t)
		runFaults(t, n, c, onHost)
	})
}

// A thread's request is lost on the way to a member that the client does without. The thread does
// not wait for it as long as its patience lasts.
func TestThreadPassesALostRequest(t *testing.T) {
	inNetwork(t, func(network *network) {
		c := newClusterOn(t, 3, "", network)
		c.start(t)
		options := etcd.Options{TTL: time.Hour, Patience: time.Hour}
		lock := newSpace(t, options, c.endpoints...).Lock("x")
		release(t, untilDriven(t, lock)) // by a connection to the first endpoint
		passAll(t, []way{{network.test, c.hosts[0]}}, false)
		ctx, cancel := context.WithTimeout(context.Background(), longestWait)
		defer cancel()
		hold, err := acquireInThread(lock, ctx)
		if err != nil {
			t.Fatal(err)
		}
		release(t, hold)
	})
}

// onHost returns a host more.
func onHost(t testing.TB, c *cluster) placed {
	h := c.hosts[0].network.addHost(t)
	one := func() *host { return c.hosts[rand.IntN(len(c.hosts))] }
	return placed{h, c.endpoints, []fault{
		{"client: cut off", unplugged(t, func() *host { return h })},
		{"client: all that it sends is lost", lossy(t, func() []way { return waysTo(h, c.hosts...) })},
		{"client: all that is sent to it is lost", lossy(t, func() []way {
			return reversed(waysTo(h, c.hosts...))
		})},
		{"client: cut off from a member", lossy(t, func() []way { return both(waysTo(h, one())) })},
		{"client: what it sends to a member is lost", lossy(t, func() []way { return waysTo(h, one()) })},
		{"client: what a member sends to it is lost", lossy(t, func() []way { return waysTo(one(), h) })},
	}}
}

// partitions returns what can be done to the members' hosts.
func (c *cluster) partitions(t testing.TB) []fault {
	if c.hosts == nil {
		return nil
	}
	one := func() *host { return c.hosts[rand.IntN(len(c.hosts))] }
	leader := func() *host {
		if i := c.leader(t); i >= 0 {
			return c.hosts[i]
		}
		return one()
	}
	toOthers := func(h *host) (ways []way) {
		for _, other := range c.hosts {
			if other != h {
				ways = append(ways, way{h, other})
			}
		}
		return ways
	}
	return []fault{
		{"member: cut off", unplugged(t, one)},
		{"leader: cut off", unplugged(t, leader)},
		{"leader: cut off from the members", lossy(t, func() []way { return both(toOthers(leader())) })},
		{"leader: what it sends to members is lost", lossy(t, func() []way {
			return toOthers(leader())
		})},
		{"leader: what members send to it is lost", lossy(t, func() []way {
			return reversed(toOthers(leader()))
		})},
	}
}

func unplugged(t testing.TB, which func() *host) func() func() {
	return func() func() {
		h := which()
		h.plug(t, false)
		return func() { h.plug(t, true) }
	}
}

func lossy(t testing.TB, which func() []way) func() func() {
	return func() func() {
		ways := which()
		passAll(t, ways, false)
		return func() { passAll(t, ways, true) }
	}
}

func both(ways []way) []way { return append(reversed(ways), ways...) }
