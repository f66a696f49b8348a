package etcd_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
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

// startMembers starts a cluster in this process, and returns its members.
func startMembers(t testing.TB, n int) []*embed.Etcd {
	configs := make([]*embed.Config, n)
	var initial []string
	for i := range configs {
		c := embed.NewConfig()
		c.Name = fmt.Sprintf("m%d", i)
		c.Dir = folder(t)
		c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		peer, _ := url.Parse("http://" + freeAddress(t))
		client, _ := url.Parse("http://" + freeAddress(t))
		c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
		c.TickMs, c.ElectionMs = 50, 500
		initial = append(initial, c.Name+"="+peer.String())
		configs[i] = c
	}
	members := make([]*embed.Etcd, n)
	for i, c := range configs {
		c.InitialCluster = strings.Join(initial, ",")
		member, err := embed.StartEtcd(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(member.Close)
		members[i] = member
	}
	for _, member := range members {
		select {
		case <-member.Server.ReadyNotify():
		case <-time.After(20 * time.Second):
			t.Fatal("etcd does not start")
		}
	}
	return members
}

func endpointOf(member *embed.Etcd) string { return member.Config().AdvertiseClientUrls[0].Host }

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
