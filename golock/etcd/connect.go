package etcd

import (
	"context"
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

// A Connection says where etcd is. [Environment] returns the one that etcdctl would use.
type Connection struct {
	Endpoints          []string // 127.0.0.1:2379 by default
	CA                 string   // a file
	Certificate        string   // a file, which is read for each connection: it may be replaced
	Key                string   // a file, as well
	User               string   // as name, or as name:password if there is no Password
	Password           string
	ServerName         string // that of the endpoint by default
	InsecureSkipVerify bool
	Timeout            time.Duration // of a user's login; 5 s by default
}

// A Client is a client of etcd that soon notices when an endpoint is gone or back.
type Client struct {
	*clientv3.Client
	TLS *tls.Config
}

const (
	// Servers refuse clients that ask more often than every 5 s whether a connection is alive.
	pingEvery    = 6 * time.Second
	pingTimeout  = 2 * time.Second
	loginTimeout = 5 * time.Second
	longestWait  = time.Second // between attempts to connect
	// Bytes. With a window that adapts, gRPC pings the server at each event of a watch, and its
	// answer wakes a thread up.
	window = 1 << 20
)

// Connect returns a client. It waits for etcd only if there is a user, who has to log in. Its
// errors are those of [Lock.Holder], or contain [ErrInvalid].
func Connect(c Connection) (*Client, error) {
	if len(c.Endpoints) == 0 {
		c.Endpoints = []string{defaultEndpoint}
	}
	if c.Timeout <= 0 {
		c.Timeout = loginTimeout
	}
	if name, password, found := strings.Cut(c.User, ":"); found && c.Password == "" {
		c.User, c.Password = name, password
	}
	security, err := c.tls()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: retryPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestWait,
			},
			MinConnectTimeout: longestWait,
		}),
	}
	if c.ServerName != "" { // the client puts the endpoint's name in the place of that of the TLS
		options = append(options, grpc.WithAuthority(c.ServerName))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          c.Timeout,
		DialKeepAliveTime:    pingEvery,
		DialKeepAliveTimeout: pingTimeout,
		TLS:                  security,
		Username:             c.User,
		Password:             c.Password,
		Logger:               zap.NewNop(),
		DialOptions:          options,
	})
	if err != nil {
		return nil, explain(context.Background(), c.Endpoints, security, err)
	}
	return &Client{client, security}, nil
}

// tls returns nil for a connection without TLS.
func (c *Connection) tls() (*tls.Config, error) {
	if (c.Certificate == "") != (c.Key == "") {
		return nil, fmt.Errorf("%w: a certificate needs its key, and a key its certificate", ErrInvalid)
	}
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
	if c.Certificate != "" {
		certificate, key := c.Certificate, c.Key
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
			return nil, fmt.Errorf("%w: the certificate: %w", ErrInvalid, err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certificate, key)
			return &pair, err
		}
	}
	return config, nil
}
