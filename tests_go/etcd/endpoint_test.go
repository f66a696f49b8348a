package etcd_test

import (
	"context"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/golock/golock/golock/etcd"
	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// Threads connect to each kind of endpoint that the client can connect to.
func TestThreadEndpoints(t *testing.T) {
	t.Run("IPv6", func(t *testing.T) {
		address := freeAddress(t)[len("127.0.0.1"):]
		startAt(t, url.URL{Scheme: "http", Host: "[::1]" + address}, transport.TLSInfo{})
		requireDriven(t, etcd.Connection{Endpoints: []string{"[::1]" + address}})
		requireDriven(t, etcd.Connection{Endpoints: []string{"http://[::1]" + address}})
	})
	t.Run("unix", func(t *testing.T) {
		path := filepath.Join(folder(t), "socket")
		startAt(t, url.URL{Scheme: "unix", Path: path}, transport.TLSInfo{})
		requireDriven(t, etcd.Connection{Endpoints: []string{"unix://" + path}})
		requireDriven(t, etcd.Connection{Endpoints: []string{"unix:" + path}})
	})
	t.Run("unixs", func(t *testing.T) {
		authority, certificate, key := certificates(t)
		path := filepath.Join(folder(t), "socket")
		startAt(t, url.URL{Scheme: "unixs", Path: path}, transport.TLSInfo{
			CertFile: certificate, KeyFile: key, TrustedCAFile: authority, ClientCertAuth: true,
		})
		requireDriven(t, etcd.Connection{
			Endpoints: []string{"unixs://" + path},
			CA:        authority, Certificate: certificate, Key: key, ServerName: "127.0.0.1",
		})
	})
}

func startAt(t *testing.T, address url.URL, security transport.TLSInfo) {
	server := newCluster(t, 1, "").members[0].(*embedded)
	server.config.ListenClientUrls = []url.URL{address}
	server.config.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	server.config.ClientTLSInfo = security
	server.start(t)
	t.Cleanup(server.stop)
}

func requireDriven(t *testing.T, c etcd.Connection) {
	t.Helper()
	client, err := etcd.Connect(c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	space := etcd.NewSpace(client.Client, etcd.Options{TLS: client.TLS})
	defer space.Close(context.Background())
	release(t, untilDriven(t, space.Lock("x")))
}
