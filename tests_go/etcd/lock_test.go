package etcd_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

func acquire(t testing.TB, lock *etcd.Lock) *etcd.Hold {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	hold, err := lock.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return hold
}

func release(t testing.TB, hold *etcd.Hold) {
	t.Helper()
	if err := hold.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestAcquireAndRelease(t *testing.T) {
	endpoint := startServer(t)
	a := newSpace(t, etcd.Options{}, endpoint).Lock("a")
	b := newSpace(t, etcd.Options{}, endpoint).Lock("a")
	first := acquire(t, a)
	if hold, err := b.TryAcquire(context.Background()); hold != nil || err != nil {
		t.Fatalf("TryAcquire of a taken lock: %v, %v", hold, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Acquire of a taken lock: %v", err)
	}
	release(t, first)
	if err := first.Release(context.Background()); !errors.Is(err, etcd.ErrReleased) {
		t.Fatalf("second release: %v", err)
	}
	second := acquire(t, b)
	if second.Token() <= first.Token() {
		t.Fatalf("tokens %d, %d", first.Token(), second.Token())
	}
	if second.Lost() {
		t.Fatal("lost")
	}
	release(t, second)
	third, err := a.TryAcquire(context.Background())
	if third == nil || err != nil {
		t.Fatalf("TryAcquire of a free lock: %v, %v", third, err)
	}
	release(t, third)
}

// No update of an unguarded counter is lost, tokens rise, and no key stays behind.
func TestManyProcessesAndGoroutines(t *testing.T) {
	const processes, goroutines, times = 3, 3, 100
	endpoint := startServer(t)
	counter, last := 0, int64(0)
	var all sync.WaitGroup
	for range processes {
		lock := newSpace(t, etcd.Options{}, endpoint).Lock("counter")
		for range goroutines {
			all.Go(func() {
				for range times {
					hold := acquire(t, lock)
					counter++
					if hold.Token() <= last {
						t.Errorf("token %d after %d", hold.Token(), last)
					}
					last = hold.Token()
					release(t, hold)
				}
			})
		}
	}
	began := time.Now()
	all.Wait()
	t.Logf("%.0f acquires/s", processes*goroutines*times/time.Since(began).Seconds())
	if counter != processes*goroutines*times {
		t.Errorf("counted %d", counter)
	}
	requireNoKeys(t, endpoint)
}

func requireNoKeys(t *testing.T, endpoint string) {
	t.Helper()
	client := connect(t, endpoint)
	deadline := time.Now().Add(30 * time.Second)
	for {
		read, err := client.Get(context.Background(), "golock/", withPrefix...)
		if err != nil {
			t.Fatal(err)
		}
		if read.Count == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("keys stay behind: %v", read.Kvs)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
