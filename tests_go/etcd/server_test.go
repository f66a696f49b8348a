package etcd_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// folder returns one in memory where there is one: what a transaction costs is then not the disk's.
func folder(t testing.TB) string {
	if made, err := os.MkdirTemp("/dev/shm", "golock-etcd-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(made) })
		return made
	}
	return t.TempDir()
}

// freeAddress returns one that no connection of a client gets, so that a server can use it later,
// and again.
func freeAddress(t testing.TB) string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// startServer starts a cluster of one member, and returns its endpoint.
func startServer(t testing.TB) string { return startCluster(t, 1, "").endpoints[0] }

func connect(t testing.TB, endpoints ...string) *clientv3.Client {
	client, err := etcd.Connect(etcd.Connection{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client.Client
}

// newSpace returns a space of another process, as far as etcd can tell.
func newSpace(t testing.TB, options etcd.Options, endpoints ...string) *etcd.Space {
	space := etcd.NewSpace(connect(t, endpoints...), options)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = space.Close(ctx)
	})
	return space
}
