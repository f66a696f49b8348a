package etcd_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A process that waits forgets the keys of those that come and go, and is still told of the one
// that it waits for.
func TestManyProcessesComeAndGo(t *testing.T) {
	const batches, keys = 400, 100
	ctx, endpoint := context.Background(), startServer(t)
	hold := acquire(t, newSpace(t, etcd.Options{}, endpoint).Lock("x"))
	waiter := newSpace(t, etcd.Options{}, endpoint).Lock("x")
	taken := make(chan *etcd.Hold)
	go func() { taken <- acquire(t, waiter) }()
	for deadline := time.Now().Add(20 * time.Second); waiter.View().Before == 0; {
		if time.Now().After(deadline) {
			t.Fatal("it does not wait")
		}
		time.Sleep(time.Millisecond)
	}
	client := connect(t, endpoint)
	for batch := range batches {
		var puts []clientv3.Op
		for i := range keys {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("golock/x/%d-%d-0", batch, i), ""))
		}
		_, err := client.Txn(ctx).Then(puts...).Commit()
		if err == nil {
			first := fmt.Sprintf("golock/x/%d-", batch)
			_, err = client.Delete(ctx, first, clientv3.WithPrefix())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	release(t, hold)
	release(t, <-taken)
}
