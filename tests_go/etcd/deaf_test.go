package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A waiter whose watch is at a member that it does not hear any more learns from the others that it
// has its turn, and does not keep all waiting until the client gives the connection up.
func TestWaiterHearsOfItsTurnFromOtherMembers(t *testing.T) {
	for name, acquireAs := range map[string]func(*etcd.Lock, context.Context) (*etcd.Hold, error){
		"goroutine": (*etcd.Lock).Acquire, "thread": acquireInThread,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := startServer(t)
			watched, other := startProxy(t, endpoint), startProxy(t, endpoint)
			other.refuse(true)
			// The lease outlives the first renewals, which time out.
			waiter := newSpace(t, etcd.Options{TTL: 6 * time.Second},
				watched.address(), other.address()).Lock("x")
			first := acquire(t, newSpace(t, etcd.Options{}, endpoint).Lock("x"))
			got := make(chan *etcd.Hold)
			go func() {
				hold, err := acquireAs(waiter, context.Background())
				if err != nil {
					t.Error(err)
				}
				got <- hold
			}()
			await(func() bool { // the watch stands
				view := waiter.View()
				return view.Holder != nil && view.Age == 0
			})
			other.refuse(false)
			await(func() bool {
				connections, _ := other.count()
				return connections > 0
			})
			revision := lastRevision(t, endpoint)
			_, before := watched.count()
			watched.silence(true)
			release(t, first)
			hold := <-got
			if hold == nil || hold.Revision() != revision {
				t.Fatal("it has lost its place by then")
			}
			if _, given := watched.count(); given != before {
				t.Error("it has heard so only after the client had given the connection up")
			}
			watched.silence(false)
			release(t, hold)
		})
	}
}

// lastRevision returns the revision at which the newest key was made.
func lastRevision(t *testing.T, endpoint string) int64 {
	read, err := connect(t, endpoint).Get(context.Background(), "golock/", append(withPrefix,
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))...)
	if err != nil {
		t.Fatal(err)
	}
	return read.Kvs[0].CreateRevision
}

func await(is func() bool) {
	for !is() {
		time.Sleep(time.Millisecond)
	}
}
