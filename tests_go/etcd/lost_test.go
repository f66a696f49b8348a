package etcd_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const short = time.Second // the shortest lease that the servers of these tests grant

func TestLostWhenCutOff(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	cut := newSpace(t, etcd.Options{TTL: short}, between.address()).Lock("x")
	other := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	first := acquire(t, cut)
	if err := first.Check(); err != nil {
		t.Fatal(err)
	}
	between.hang(true)
	second := acquire(t, other) // once etcd has ended the lease
	if !first.Lost() {
		t.Fatal("two processes have the lock")
	}
	<-first.Done()
	if err := first.Check(); !errors.Is(err, etcd.ErrLost) {
		t.Errorf("Check: %v", err)
	}
	if err := first.Release(context.Background()); !errors.Is(err, etcd.ErrLost) {
		t.Errorf("Release: %v", err)
	}
	if err := second.Check(); err != nil {
		t.Errorf("the late release freed a newer hold: %v", err)
	}
	between.hang(false)
	release(t, second)
	third := acquire(t, cut)
	if third.Token() <= second.Token() || second.Token() <= first.Token() {
		t.Error("the tokens do not rise")
	}
	release(t, third)
}

// A wait that ends while etcd does not answer returns, and so does a release.
func TestAnswersWithoutEtcd(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	space := newSpace(t, etcd.Options{TTL: 60 * time.Second, Patience: time.Hour}, between.address())
	held := acquire(t, space.Lock("held"))
	between.hang(true)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for _, name := range []string{"held", "free"} {
		if _, err := space.Lock(name).Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire: %v", err)
		}
	}
	if err := held.Release(ctx); err != nil {
		t.Errorf("Release: %v", err)
	}
	between.hang(false)
	requireNoKeys(t, endpoint)
}

func TestErrorsNameTheEndpoint(t *testing.T) {
	nobody := freeAddress(t)
	space := newSpace(t, etcd.Options{Patience: 100 * time.Millisecond}, nobody)
	_, err := space.Lock("x").Acquire(context.Background())
	var unreachable *etcd.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), nobody) ||
		!strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

// Somebody deletes the key with etcdctl. The watch that a contended lock has tells its holder.
func TestLostByDeletedKey(t *testing.T) {
	endpoint := startServer(t)
	a := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	b := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	first := acquire(t, a)
	got := make(chan *etcd.Hold)
	go func() {
		hold, _ := b.Acquire(context.Background())
		got <- hold
	}()
	waitForKeys(t, endpoint, 2)
	release(t, first)
	second := <-got
	if _, err := connect(t, endpoint).Delete(context.Background(), second.Key()); err != nil {
		t.Fatal(err)
	}
	<-second.Done()
	if err := second.Release(context.Background()); !errors.Is(err, etcd.ErrLost) {
		t.Errorf("Release: %v", err)
	}
}

// A write that is guarded by a hold is not made once the lock is lost.
func TestGuard(t *testing.T) {
	endpoint := startServer(t)
	client := connect(t, endpoint)
	hold := acquire(t, newSpace(t, etcd.Options{}, endpoint).Lock("x"))
	if _, err := hold.Commit(context.Background(), clientv3.OpPut("row", "1")); err != nil {
		t.Fatal(err)
	}
	guard := hold.Guard()
	if _, err := client.Delete(context.Background(), hold.Key()); err != nil {
		t.Fatal(err)
	}
	answer, err := client.Txn(context.Background()).If(guard).
		Then(clientv3.OpPut("row", "2")).Commit()
	if err != nil || answer.Succeeded {
		t.Errorf("%v, %v", answer, err)
	}
	_, err = hold.Commit(context.Background(), clientv3.OpPut("row", "2"))
	if !errors.Is(err, etcd.ErrLost) {
		t.Errorf("Commit: %v", err)
	}
}

// A waiter was cut off while the keys that it waits for went and etcd forgot how.
func TestWaiterOutlivesCompaction(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	a := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	b := newSpace(t, etcd.Options{TTL: 60 * time.Second}, between.address()).Lock("x")
	first := acquire(t, a)
	got := make(chan *etcd.Hold)
	go func() {
		hold, _ := b.Acquire(context.Background())
		got <- hold
	}()
	waitForKeys(t, endpoint, 2)
	between.refuse(true)
	release(t, first)
	client := connect(t, endpoint)
	put, err := client.Put(context.Background(), "x", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Compact(context.Background(), put.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil {
		t.Fatal(err)
	}
	between.refuse(false)
	release(t, <-got)
}

func waitForKeys(t *testing.T, endpoint string, n int64) {
	t.Helper()
	client := connect(t, endpoint)
	for {
		read, err := client.Get(context.Background(), "golock/", withPrefix...)
		if err != nil {
			t.Fatal(err)
		}
		if read.Count == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestFence(t *testing.T) {
	var fence etcd.Fence
	for _, token := range []int64{1, 3, 3} {
		if err := fence.Admit(token); err != nil {
			t.Error(err)
		}
	}
	var stale *etcd.StaleError
	if err := fence.Admit(2); !errors.As(err, &stale) {
		t.Errorf("%v", err)
	}
}
