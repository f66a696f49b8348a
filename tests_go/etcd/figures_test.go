package etcd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// A contender is a lock of one client, of golock or of its peer.
type contender struct{ acquire, release func() }

func golockContender(t *testing.T, endpoint, name string) contender {
	lock := newSpace(t, etcd.Options{}, endpoint).Lock(name)
	var hold *etcd.Hold
	return contender{
		func() { hold = acquire(t, lock) },
		func() { release(t, hold) },
	}
}

func concurrencyContender(t *testing.T, endpoint, name string) contender {
	session, err := concurrency.NewSession(connect(t, endpoint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	mutex := concurrency.NewMutex(session, "mutex/"+name)
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	return contender{
		func() { must(mutex.Lock(context.Background())) },
		func() { must(mutex.Unlock(context.Background())) },
	}
}

// GOLOCK_ENDPOINT names a server. The figures are written to standard output as a JSON document, in
// microseconds, and per second. bench/cluster.py shows them.
func TestFigures(t *testing.T) {
	endpoint := os.Getenv("GOLOCK_ENDPOINT")
	if endpoint == "" {
		t.Skip("GOLOCK_ENDPOINT names no server")
	}
	kinds := map[string]func(*testing.T, string, string) contender{
		"golock": golockContender, "concurrency.Mutex": concurrencyContender,
	}
	figures := map[string]map[string]float64{}
	for kind := range kinds {
		figures[kind] = map[string]float64{}
	}
	transaction, uncontended := []float64{}, map[string][]float64{}
	client := connect(t, endpoint)
	alone := map[string]contender{}
	for kind, make := range kinds {
		alone[kind] = make(t, endpoint, "alone")
	}
	for range 1000 { // in turn
		began := time.Now()
		_, err := client.Txn(context.Background()).Then(clientv3.OpPut("row", "1")).Commit()
		if err != nil {
			t.Fatal(err)
		}
		transaction = append(transaction, time.Since(began).Seconds()*1e6)
		for kind, c := range alone {
			began := time.Now()
			c.acquire()
			uncontended[kind] = append(uncontended[kind], time.Since(began).Seconds()*1e6)
			c.release()
		}
	}
	for kind, make := range kinds {
		figures[kind]["transaction"] = median(transaction)
		figures[kind]["uncontended"] = median(uncontended[kind])
		times := 200
		if kind != "golock" {
			times = 30
		}
		figures[kind]["hand-over"] = handOver(make(t, endpoint, "two"), make(t, endpoint, "two"), times)
		var four []contender
		for range 4 {
			four = append(four, make(t, endpoint, "four"))
		}
		figures[kind]["rate"] = rate(four, 3*time.Second)
	}
	text, _ := json.Marshal(figures)
	fmt.Println(string(text))
}

// The same for what bench/cluster.py measures several times, in turn with Python.
func TestRepeatedFigures(t *testing.T) {
	endpoint := os.Getenv("GOLOCK_ENDPOINT")
	if endpoint == "" {
		t.Skip("GOLOCK_ENDPOINT names no server")
	}
	client := connect(t, endpoint)
	var transactions []float64
	for range 1000 {
		began := time.Now()
		_, err := client.Txn(context.Background()).Then(clientv3.OpPut("row", "1")).Commit()
		if err != nil {
			t.Fatal(err)
		}
		transactions = append(transactions, time.Since(began).Seconds()*1e6)
	}
	var four []contender
	for range 4 {
		four = append(four, golockContender(t, endpoint, "repeated"))
	}
	text, _ := json.Marshal(map[string]float64{
		"transaction": median(transactions), "rate": rate(four, 3*time.Second),
	})
	fmt.Println(string(text))
}

// handOver returns the median of the time from a release to the return of the other's acquire.
func handOver(a, b contender, times int) float64 {
	var found []float64
	a.acquire()
	for range times {
		got := make(chan time.Time)
		go func() {
			b.acquire()
			got <- time.Now()
		}()
		time.Sleep(5 * time.Millisecond) // it waits in etcd
		began := time.Now()
		a.release()
		found = append(found, (<-got).Sub(began).Seconds()*1e6)
		a, b = b, a
	}
	a.release()
	return median(found)
}

// rate returns how often the contenders together take the lock in a second.
func rate(all []contender, d time.Duration) float64 {
	var count atomic.Int64
	var running sync.WaitGroup
	ends := time.Now().Add(d)
	for _, c := range all {
		running.Go(func() {
			for time.Now().Before(ends) {
				c.acquire()
				count.Add(1)
				c.release()
			}
		})
	}
	running.Wait()
	return float64(count.Load()) / d.Seconds()
}

func median(found []float64) float64 {
	slices.Sort(found)
	return found[len(found)/2]
}
