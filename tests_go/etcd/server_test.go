package etcd_test

import (
	"context"
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

func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
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
