package etcd_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// repeats returns a client whose transactions are done twice while *twice is true. That is what the
// client makes of a call that a proxy or the server cancels when etcd has already done it.
func repeats(t *testing.T, endpoint string, twice *atomic.Bool) *clientv3.Client {
	cancelled := grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string,
		request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
		options ...grpc.CallOption) error {
		err := invoke(ctx, method, request, answer, conn, options...)
		if err == nil && method == "/etcdserverpb.KV/Txn" && twice.CompareAndSwap(true, false) {
			return status.Error(codes.Canceled, "")
		}
		return err
	})
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialOptions: []grpc.DialOption{cancelled},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTransactionIsDoneTwice(t *testing.T) {
	ctx, endpoint := context.Background(), startServer(t)
	var twice atomic.Bool
	space := etcd.NewSpace(repeats(t, endpoint, &twice), etcd.Options{TTL: time.Minute})
	defer space.Close(ctx)
	lock := space.Lock("x")
	acquires := map[string]func(context.Context) (*etcd.Hold, error){
		"acquire": lock.Acquire,
		"try":     lock.TryAcquire,
	}
	for name, acquire := range acquires {
		twice.Store(true)
		hold, err := acquire(ctx)
		if hold == nil || err != nil {
			t.Fatalf("%s: not acquired: %v", name, err)
		}
		if twice.Load() {
			t.Fatalf("%s: nothing was done twice", name)
		}
		if _, err := hold.Commit(ctx, clientv3.OpPut("y", "1")); err != nil {
			t.Errorf("%s: guarded: %v", name, err)
		}
		if err := hold.Release(ctx); err != nil {
			t.Errorf("%s: released: %v", name, err)
		}
		requireNoKeys(t, endpoint)
	}
}
