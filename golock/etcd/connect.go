package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// A Connection says where etcd is. Empty fields are those of etcdctl's environment variables, which
// are named in the comments.
type Connection struct {
	Endpoints          []string // ETCDCTL_ENDPOINTS; 127.0.0.1:2379 by default
	CA                 string   // ETCDCTL_CACERT, a file
	Certificate        string   // ETCDCTL_CERT, a file
	Key                string   // ETCDCTL_KEY, a file
	User               string   // ETCDCTL_USER, as name or name:password
	Password           string   // ETCDCTL_PASSWORD
	ServerName         string
	InsecureSkipVerify bool // ETCDCTL_INSECURE_SKIP_TLS_VERIFY
}

// A Client is a client of etcd that soon notices when an endpoint is gone or back.
type Client struct {
	*clientv3.Client
	TLS *tls.Config
}

const (
	// Servers refuse clients that ask more often than every 5 s whether a connection is alive.
	pingEvery   = 6 * time.Second
	pingTimeout = 2 * time.Second
	dialTimeout = 5 * time.Second
	longestWait = time.Second // between attempts to connect
	// Bytes. With a window that adapts, gRPC pings the server at each event of a watch, and its
	// answer wakes a thread up.
	window = 1 << 20
)

// Connect returns a client. It waits for a connection only if there is a user, for 5 s.
func Connect(c Connection) (*Client, error) {
	c.complete()
	security, err := c.tls()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          dialTimeout, // for the token of a user, too
		DialKeepAliveTime:    pingEvery,
		DialKeepAliveTimeout: pingTimeout,
		TLS:                  security,
		Username:             c.User,
		Password:             c.Password,
		Logger:               zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithStaticStreamWindowSize(window),
			grpc.WithStaticConnWindowSize(window),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay: retryPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestWait,
				},
				MinConnectTimeout: longestWait,
			}),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("golock/etcd: cannot use %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	return &Client{client, security}, nil
}

func (c *Connection) complete() {
	if len(c.Endpoints) == 0 {
		listed := os.Getenv("ETCDCTL_ENDPOINTS")
		if listed == "" {
			listed = "127.0.0.1:2379"
		}
		c.Endpoints = strings.Split(listed, ",")
	}
	fill := func(field *string, variable string) {
		if *field == "" {
			*field = os.Getenv(variable)
		}
	}
	fill(&c.CA, "ETCDCTL_CACERT")
	fill(&c.Certificate, "ETCDCTL_CERT")
	fill(&c.Key, "ETCDCTL_KEY")
	fill(&c.User, "ETCDCTL_USER")
	fill(&c.Password, "ETCDCTL_PASSWORD")
	if name, password, found := strings.Cut(c.User, ":"); found && c.Password == "" {
		c.User, c.Password = name, password
	}
	if os.Getenv("ETCDCTL_INSECURE_SKIP_TLS_VERIFY") == "true" {
		c.InsecureSkipVerify = true
	}
}

// tls returns nil for a connection without TLS.
func (c *Connection) tls() (*tls.Config, error) {
	secure := c.CA != "" || c.Certificate != "" || c.InsecureSkipVerify
	for _, endpoint := range c.Endpoints {
		secure = secure || strings.HasPrefix(endpoint, "https://")
	}
	if !secure {
		return nil, nil
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         c.ServerName,
		InsecureSkipVerify: c.InsecureSkipVerify,
	}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("%w: the file of authorities: %w", ErrInvalid, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%w: %s contains no certificate", ErrInvalid, c.CA)
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return nil, fmt.Errorf("%w: a certificate needs its key, and a key its certificate", ErrInvalid)
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: the certificate: %w", ErrInvalid, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
