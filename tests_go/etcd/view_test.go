package etcd_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// until waits until a view of the lock is as it should be, and returns it.
func until(t *testing.T, lock *etcd.Lock, what string, is func(etcd.View) bool) etcd.View {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		view := lock.View()
		if is(view) {
			return view
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s; %+v", what, view)
		}
		time.Sleep(time.Millisecond)
	}
}

// A view is what the process knows: of its own hold at once, of another process's when it has
// waited, until the watch tells that the key is gone.
func TestView(t *testing.T) {
	endpoint := startServer(t)
	mine := newSpace(t, etcd.Options{}, endpoint).Lock("a")
	other := newSpace(t, etcd.Options{}, endpoint).Lock("a")
	if view := mine.View(); view.Holder != nil || view.Own || len(view.Endpoints) != 1 {
		t.Fatalf("of a lock that was not used: %+v", view)
	}
	hold := acquire(t, other)
	view := other.View()
	if !view.Own || view.Lost || view.Token != hold.Token() || view.Lease <= 0 ||
		view.Holder.PID != os.Getpid() {
		t.Fatalf("of the holder: %+v", view)
	}
	if view := mine.View(); view.Holder != nil {
		t.Fatalf("of one that has not waited: %+v", view)
	}
	taken := make(chan *etcd.Hold)
	go func() {
		hold, err := mine.Acquire(context.Background())
		if err != nil {
			t.Error(err)
		}
		taken <- hold
	}()
	view = until(t, mine, "the holder is known", func(view etcd.View) bool {
		return view.Holder != nil && view.Age == 0
	})
	if view.Own || view.Before != 1 || view.Token != 0 || view.Holder.PID != os.Getpid() {
		t.Fatalf("of the waiter: %+v", view)
	}
	release(t, hold)
	if view := other.View(); view.Own || view.Token != 0 {
		t.Fatalf("after the release: %+v", view)
	}
	second := <-taken
	if view := mine.View(); !view.Own || view.Before != 0 || view.Token != second.Token() {
		t.Fatalf("of the next holder: %+v", view)
	}
	release(t, second)
	if view := mine.View(); view.Own {
		t.Fatalf("after both releases: %+v", view)
	}
}
