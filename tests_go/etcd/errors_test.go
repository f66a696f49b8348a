package etcd_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Each error names each endpoint, and says why.
func TestErrors(t *testing.T) {
	authority, certificate, key := certificates(t)
	_, otherCertificate, otherKey := certificates(t)
	secure := startSecureServer(t, authority, certificate, key)
	good := etcd.Connection{CA: authority, Certificate: certificate, Key: key}
	plain := startServer(t)
	users := startServerWithUsers(t)
	silent := startProxy(t, plain)
	silent.hang(true)
	silentUsers := startProxy(t, users)
	silentUsers.hang(true)
	minority := startMinority(t)
	const long = 30 * time.Second // a busy machine is slow to check passwords
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)

	for _, row := range []struct {
		name string
		etcd.Connection
		says []string
	}{
		{
			"refused", etcd.Connection{Endpoints: []string{"127.0.0.1:1"}},
			[]string{"127.0.0.1:1: ", "connection refused"},
		}, {
			"no such host", etcd.Connection{Endpoints: []string{"no-such-host.invalid:2379"}},
			[]string{"no-such-host.invalid:2379: ", "lookup no-such-host.invalid"},
		}, {
			"silent", etcd.Connection{Endpoints: []string{silent.address()}},
			[]string{silent.address() + ": ", "answers no request"},
		}, {
			"two endpoints", etcd.Connection{Endpoints: []string{"127.0.0.1:1", silent.address()}},
			[]string{"127.0.0.1:1: ", "connection refused", silent.address() + ": "},
		}, {
			"no etcd", etcd.Connection{Endpoints: []string{other.Listener.Addr().String()}},
			[]string{other.Listener.Addr().String() + ": ", "HTTP/1.1"},
		}, {
			"plain to TLS", etcd.Connection{Endpoints: []string{secure}},
			[]string{secure + ": ", "may want TLS"},
		}, {
			"TLS to plain", with(good, "https://"+plain),
			[]string{"https://" + plain + ": ", "may have no TLS"},
		}, {
			"another name", etcd.Connection{
				Endpoints: []string{"https://" + secure}, CA: authority, Certificate: certificate,
				Key: key, ServerName: "another.example",
			},
			[]string{"https://" + secure + ": ", "another.example"},
		}, {
			"unknown authority", etcd.Connection{Endpoints: []string{"https://" + secure}},
			[]string{"https://" + secure + ": ", "unknown authority"},
		}, {
			"no certificate", with(etcd.Connection{CA: authority}, "https://"+secure),
			[]string{"https://" + secure + ": ", "certificate required"},
		}, {
			"bad certificate", with(etcd.Connection{
				CA: authority, Certificate: otherCertificate, Key: otherKey,
			}, "https://"+secure),
			[]string{"https://" + secure + ": ", "remote error: tls:"},
		}, {
			"no user", etcd.Connection{Endpoints: []string{users}},
			[]string{users + " refused: ", "user name is empty"},
		}, {
			"wrong password", etcd.Connection{
				Endpoints: []string{users}, User: "locker:wrong", Timeout: long,
			},
			[]string{users + " refused: ", "authentication failed"},
		}, {
			"user, silent", etcd.Connection{
				Endpoints: []string{silentUsers.address()}, User: "locker:open",
			},
			[]string{silentUsers.address() + ": ", "answers no request"},
		}, {
			"user, refused", etcd.Connection{
				Endpoints: []string{"127.0.0.1:1"}, User: "locker:open",
			},
			[]string{"127.0.0.1:1: ", "connection refused"},
		}, {
			"no permission", etcd.Connection{
				Endpoints: []string{users}, User: "locker:open", Timeout: long,
			},
			[]string{users + " refused: ", "permission denied"},
		}, {
			// The server takes tens of milliseconds to check a password.
			"user, slow", etcd.Connection{
				Endpoints: []string{users}, User: "locker:open", Timeout: time.Millisecond,
			},
			[]string{users + ": ", "not answered in time"},
		}, {
			"full", etcd.Connection{Endpoints: []string{startFullServer(t)}},
			[]string{" refused: ", "database space exceeded"},
		}, {
			"no leader", etcd.Connection{Endpoints: []string{minority}},
			[]string{"no leader"},
		}, {
			"two clusters", etcd.Connection{Endpoints: []string{minority, startMinority(t)}},
			[]string{minority + ": ", "no leader", minority + " is of another cluster"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.Timeout == 0 {
				row.Timeout = time.Second
			}
			_, err := acquireWith(row.Connection, etcd.Options{
				Prefix: "elsewhere/", Patience: max(row.Timeout, time.Second),
			})
			if err == nil {
				t.Fatal("acquired")
			}
			requireSays(t, err, row.says...)
		})
	}
}

func with(c etcd.Connection, endpoint string) etcd.Connection {
	c.Endpoints = []string{endpoint}
	return c
}

func acquireWith(c etcd.Connection, options etcd.Options) (*etcd.Hold, error) {
	client, err := etcd.Connect(c)
	if err != nil {
		return nil, err
	}
	options.TLS = client.TLS
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return etcd.NewSpace(client.Client, options).Lock("x").Acquire(ctx)
}

func requireSays(t *testing.T, err error, says ...string) {
	t.Helper()
	for _, each := range says {
		if err == nil || !strings.Contains(err.Error(), each) {
			t.Errorf("%q is not in: %v", each, err)
		}
	}
}

// startFullServer starts a server whose quota is used up.
func startFullServer(t *testing.T) string {
	c := newCluster(t, 1, "")
	server := c.members[0].(*embedded)
	server.config.QuotaBackendBytes = 256 << 10
	server.start(t)
	t.Cleanup(server.stop)
	c.await(t)
	client, value := connect(t, c.endpoints...), strings.Repeat("x", 64<<10)
	for range 1000 {
		if _, err := client.Put(context.Background(), "row", value); err != nil {
			if !errors.Is(err, rpctypes.ErrNoSpace) {
				t.Fatal(err)
			}
			return c.endpoints[0]
		}
	}
	t.Fatal("it takes everything")
	return ""
}

// startMinority returns the endpoint of a member of three, of which the others do not run.
func startMinority(t *testing.T) string {
	c := startCluster(t, 3, "")
	c.members[0].stop()
	c.members[1].stop()
	return c.endpoints[2]
}

// Holder and Commit keep the limits of patience and context.
func TestErrorsOfOtherCalls(t *testing.T) {
	endpoint := startServer(t)
	between := startProxy(t, endpoint)
	space := newSpace(t, etcd.Options{Patience: time.Second, TTL: time.Minute}, between.address())
	lock := space.Lock("x")
	hold := acquire(t, lock)
	large := clientv3.OpPut("row", strings.Repeat("x", 1<<21-1<<15))
	_, err := hold.Commit(context.Background(), large)
	requireSays(t, err, between.address(), "request is too large")
	_, err = hold.Commit(context.Background(), large, large)
	requireSays(t, err, between.address(), "larger than max")
	between.hang(true)
	defer between.hang(false)
	for name, call := range map[string]func(context.Context) error{
		"holder": func(ctx context.Context) error { _, err := lock.Holder(ctx); return err },
		"commit": func(ctx context.Context) error { _, err := hold.Commit(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		for _, each := range []context.Context{ctx, context.Background()} {
			var unreachable *etcd.UnreachableError
			if err := call(each); !errors.As(err, &unreachable) ||
				!strings.Contains(err.Error(), between.address()+": it can be connected to") {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel()
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		if err := call(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}
