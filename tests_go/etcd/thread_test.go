package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

const driven = 20 * time.Millisecond

// acquireInThread is Acquire as libgolock_etcd does it for a thread.
func acquireInThread(lock *etcd.Lock, ctx context.Context) (*etcd.Hold, error) {
	a := lock.BeginAcquire(time.Now().Add(driven))
	if hold := a.Hold(); hold != nil {
		return hold, nil
	}
	woken := make(chan struct{}, 1)
	wake := func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
	for a.Notify(wake) {
		select {
		case <-woken:
		case <-ctx.Done():
		}
		if hold := a.Take(); hold != nil {
			return hold, nil
		}
		if ctx.Err() != nil {
			a.Cancel()
			return nil, ctx.Err()
		}
	}
	return a.Finish(ctx)
}

func releaseInThread(hold *etcd.Hold, ctx context.Context) error {
	r := hold.BeginRelease(time.Now().Add(driven))
	if ended, err := r.Ended(); ended {
		return err
	}
	return r.Finish(ctx)
}

// untilDriven takes the lock until a thread does so by itself.
func untilDriven(t *testing.T, lock *etcd.Lock) *etcd.Hold {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		a := lock.BeginAcquire(time.Now().Add(time.Second))
		if hold := a.Hold(); hold != nil {
			return hold
		}
		hold, err := a.Finish(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		release(t, hold)
	}
	t.Fatal("a goroutine makes all transactions")
	return nil
}

func TestThreadDrivesItsTransactions(t *testing.T) {
	endpoint := startServer(t)
	lock := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	hold := untilDriven(t, lock)
	r := hold.BeginRelease(time.Now().Add(time.Second))
	if ended, err := r.Ended(); !ended || err != nil {
		t.Fatalf("the release has not ended: %v", err)
	}
	requireNoKeys(t, endpoint)
}

// What is not answered while the thread waits goes on without it.
func TestThreadLeavesASlowAnswer(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	lock := newSpace(t, etcd.Options{TTL: time.Minute}, between.address()).Lock("x")
	first := untilDriven(t, lock)
	between.silence(true)
	r := first.BeginRelease(time.Now().Add(driven))
	if ended, _ := r.Ended(); ended {
		t.Fatal("the release has ended without an answer")
	}
	released := make(chan error)
	go func() { released <- r.Finish(context.Background()) }()
	between.silence(false)
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	second := untilDriven(t, lock)
	if second.Token() <= first.Token() {
		t.Fatalf("tokens %d, %d", first.Token(), second.Token())
	}
	release(t, second)
	between.silence(true)
	a := lock.BeginAcquire(time.Now().Add(driven))
	if a.Hold() != nil {
		t.Fatal("acquired without an answer")
	}
	between.silence(false)
	third, err := a.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	release(t, third)
	requireNoKeys(t, endpoint)
}

// A connection that breaks during a request leaves open whether etcd has made the key. The client
// finds out.
func TestThreadWhoseConnectionBreaks(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	lock := newSpace(t, etcd.Options{TTL: time.Minute}, between.address()).Lock("x")
	release(t, untilDriven(t, lock))
	between.silence(true)
	a := lock.BeginAcquire(time.Now().Add(driven))
	between.refuse(true)
	between.silence(false)
	between.refuse(false)
	hold, err := a.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	release(t, hold)
	requireNoKeys(t, endpoint)
}

func TestThreadWaitsForAnother(t *testing.T) {
	endpoint := startServer(t)
	one := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	two := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	release(t, untilDriven(t, two))
	for range 20 {
		hold := acquire(t, one)
		a := two.BeginAcquire(time.Now().Add(driven))
		if a.Hold() != nil {
			t.Fatal("two holders")
		}
		woken := make(chan struct{}, 1)
		if !a.Notify(func() { woken <- struct{}{} }) {
			t.Fatal("it does not wait")
		}
		release(t, hold)
		<-woken
		taken := a.Take()
		if taken == nil {
			t.Fatal("woken for nothing")
		}
		if err := releaseInThread(taken, context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	hold := acquire(t, one)
	a := two.BeginAcquire(time.Now().Add(driven))
	a.Notify(func() {})
	if a.Take() != nil {
		t.Fatal("two holders")
	}
	a.Cancel()
	release(t, hold)
	requireNoKeys(t, endpoint)
}

func TestThreadOfAUser(t *testing.T) {
	endpoint := startServerWithUsers(t)
	client, err := etcd.Connect(etcd.Connection{
		Endpoints: []string{endpoint}, User: "locker:open",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	space := etcd.NewSpace(client.Client, etcd.Options{})
	defer space.Close(ctx)
	lock := space.Lock("x")
	release(t, untilDriven(t, lock))

	// The tokens of all connections are too old after that.
	root, err := etcd.Connect(etcd.Connection{Endpoints: []string{endpoint}, User: "root:secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.UserAdd(ctx, "another", "secret"); err != nil {
		t.Fatal(err)
	}
	hold, err := acquireInThread(lock, ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := releaseInThread(hold, ctx); err != nil {
		t.Fatal(err)
	}
	release(t, untilDriven(t, lock))
}

func TestThreadWithTLS(t *testing.T) {
	authority, certificate, key := certificates(t)
	client, err := etcd.Connect(etcd.Connection{
		Endpoints: []string{"https://" + startSecureServer(t, authority, certificate, key)},
		CA:        authority, Certificate: certificate, Key: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	space := etcd.NewSpace(client.Client, etcd.Options{TLS: client.TLS})
	defer space.Close(ctx)
	for range 3 {
		hold := untilDriven(t, space.Lock("x"))
		r := hold.BeginRelease(time.Now().Add(time.Second))
		if ended, err := r.Ended(); !ended || err != nil {
			t.Fatalf("the release has not ended: %v", err)
		}
	}
}
