package etcd_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
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
	return 60
}

func TestNoOverlapUnderFaults(t *testing.T) {
	runFaults(t, startCluster(t, 3, ""), faults(t))
}

// GOLOCK_ETCD names the program of a server, as Debian's.
func TestNoOverlapUnderFaultsOfProcesses(t *testing.T) {
	program := os.Getenv("GOLOCK_ETCD")
	if program == "" {
		t.Skip("GOLOCK_ETCD names no server")
	}
	runFaults(t, startCluster(t, 3, program), faults(t))
}

// Faults of four kinds come to clients, one after the other for each, beside those of members. Most
// last longer than the lease, which is of a second.
func runFaults(t *testing.T, c *cluster, n int) {
	const clients = 4
	const longest = 1500 * time.Millisecond
	duration := time.Duration(n) * longest * 3 / 2 / (clients + 1)
	workers := make([]*worker, clients)
	for i := range workers {
		workers[i] = startWorker(t, i, c.endpoints, duration)
	}
	ends := time.Now().Add(duration)
	var mu sync.Mutex
	made := map[string]int{}
	count := func(kind string) {
		mu.Lock()
		defer mu.Unlock()
		made[kind]++
	}
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			for time.Now().Before(ends) {
				time.Sleep(time.Duration(rand.Int64N(int64(2 * longest))))
				lasts := time.Duration(rand.Int64N(int64(longest)))
				switch rand.IntN(3) {
				case 0:
					count("hang")
					w.each(func(p *proxy) { p.hang(true) })
					time.Sleep(lasts)
					w.each(func(p *proxy) { p.hang(false) })
				case 1:
					count("cut")
					w.each(func(p *proxy) { p.refuse(true) })
					time.Sleep(lasts)
					w.each(func(p *proxy) { p.refuse(false) })
				case 2:
					count("pause of a client")
					w.signal(syscall.SIGSTOP)
					time.Sleep(lasts)
					w.signal(syscall.SIGCONT)
				}
			}
		})
	}
	all.Go(func() {
		for time.Now().Before(ends) {
			time.Sleep(time.Duration(rand.Int64N(int64(2 * longest))))
			victim := c.members[rand.IntN(len(c.members))]
			switch rand.IntN(3) {
			case 0:
				count("restart of a member")
				victim.stop()
				time.Sleep(100 * time.Millisecond)
				victim.start(t)
			case 1:
				if !victim.pause(true) {
					continue
				}
				count("pause of a member")
				time.Sleep(time.Duration(rand.Int64N(int64(longest))))
				victim.pause(false)
			case 2:
				count("move of the leader")
				c.moveLeader(t)
			}
		}
	})
	all.Wait()
	var events []event
	for _, w := range workers {
		<-w.done
		events = append(events, w.events...)
	}
	t.Logf("faults: %v", made)
	checkHistory(t, events)
	if len(events) < 50 {
		t.Error("hardly anything was done")
	}
}

func (w *worker) each(do func(*proxy)) {
	for _, p := range w.proxies {
		do(p)
	}
}
