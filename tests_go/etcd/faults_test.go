package etcd_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// GOLOCK_FAULTS sets how many faults the tests make, 1000 in the long form.
func faults(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("GOLOCK_FAULTS")); err == nil {
		return n
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	return 30
}

// Proxies can reset connections, and need no namespaces: see TestNoOverlapUnderPartitions.
func TestNoOverlapUnderFaults(t *testing.T) {
	runFaults(t, faults(t), startCluster(t, 3, ""), behindProxies)
}

// GOLOCK_ETCD names the program of a server, as Debian's.
func TestNoOverlapUnderFaultsOfProcesses(t *testing.T) {
	runFaults(t, faults(t), startCluster(t, 3, serverProgram(t)), behindProxies)
}

func serverProgram(t *testing.T) string {
	program := os.Getenv("GOLOCK_ETCD")
	if program == "" {
		t.Skip("GOLOCK_ETCD names no server")
	}
	return program
}

// A fault is made by begin, which returns what ends it, or nil if there is nothing to be done now.
type fault struct {
	kind  string
	begin func() (end func())
}

// Most faults last longer than the lease, which is of a second. Some last until the client gives
// the connection up.
func lasts() time.Duration {
	const longest = 3 * time.Second
	d := time.Duration(rand.Int64N(int64(longest)))
	if rand.IntN(20) == 0 {
		d *= 3
	}
	return d
}

// runFaults makes n faults. They come to clients one after the other for each, beside those of
// members. After each the lock is acquired again.
func runFaults(t *testing.T, n int, c *cluster, place func(testing.TB, *cluster) placed) {
	const clients = 4
	const longestPause = time.Second
	seen := newHistory()
	workers := make([]*worker, clients)
	disturbed := [][]fault{c.faults(t)}
	for i := range workers {
		at := place(t, c)
		workers[i] = startWorker(t, task{
			Worker: i, Endpoints: at.endpoints, TTL: time.Second, Patience: 2 * time.Second,
		}, at.host, seen)
		disturbed = append(disturbed, append(workers[i].pauses(seen), at.faults...))
	}
	var left atomic.Int64
	left.Store(int64(n))
	var mu sync.Mutex
	made := map[string]int{}
	var all sync.WaitGroup
	for i, kinds := range disturbed {
		who := i - 1
		if i == 0 {
			who = anybody
		}
		all.Go(func() {
			for left.Add(-1) >= 0 {
				time.Sleep(time.Duration(rand.Int64N(int64(longestPause))))
				chosen := kinds[rand.IntN(len(kinds))]
				end := chosen.begin()
				if end == nil {
					left.Add(1)
					continue
				}
				time.Sleep(lasts())
				end()
				mu.Lock()
				made[chosen.kind]++
				mu.Unlock()
				if !seen.awaitHold(who, bootTime()) {
					t.Errorf("nobody got the lock after: %s (of %d)", chosen.kind, who)
				}
			}
		})
	}
	all.Wait()
	for _, w := range workers {
		w.stop(t)
	}
	t.Logf("faults: %v", made)
	seen.check(t)
}

// placed is where a worker is: the endpoints that it has to use, and what can be done to it there.
type placed struct {
	host      *host
	endpoints []string
	faults    []fault
}

func behindProxies(t testing.TB, c *cluster) (at placed) {
	var proxies []*proxy
	for _, endpoint := range c.endpoints {
		p := startProxy(t, endpoint)
		proxies = append(proxies, p)
		at.endpoints = append(at.endpoints, p.address())
	}
	each := func(do func(*proxy, bool)) func() func() {
		return func() func() {
			for _, p := range proxies {
				do(p, true)
			}
			return func() {
				for _, p := range proxies {
					do(p, false)
				}
			}
		}
	}
	at.faults = []fault{{"hang", each((*proxy).hang)}, {"cut", each((*proxy).refuse)}}
	return at
}

func (w *worker) pauses(seen *history) []fault {
	return []fault{{"pause of a client", func() func() {
		began := bootTime()
		w.signal(syscall.SIGSTOP)
		return func() {
			w.signal(syscall.SIGCONT)
			seen.add(event{Worker: w.number, Do: "pause", Call: began, Return: bootTime()})
		}
	}}}
}

func (c *cluster) faults(t testing.TB) []fault {
	victim := func() member { return c.members[rand.IntN(len(c.members))] }
	all := []fault{
		{"restart of a member", func() func() {
			m := victim()
			m.stop()
			return func() { m.start(t) }
		}},
		{"move of the leader", func() func() {
			c.moveLeader(t)
			return func() {}
		}},
		{"pause of a member", func() func() {
			m := victim()
			if !m.pause(true) {
				return nil
			}
			return func() { m.pause(false) }
		}},
	}
	return append(all, c.partitions(t)...)
}
