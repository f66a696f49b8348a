package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golock/golock/golock/etcd/internal/unary"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A thread that comes from C makes its transactions by connections of its own, and does their input
// and output itself: see the package unary. What is not answered in a while goes on in a goroutine,
// and the thread waits as golock's threads do.
//
// The client remains what decides whether etcd can be reached. Where it is not certain that a
// transaction was done or not, that is so for either kind of connection, and means the same.
const (
	mostConns    = 4           // of a space
	dialPause    = time.Second // after a connection could not be made
	txnMethod    = "/etcdserverpb.KV/Txn"
	connDialTime = time.Second
)

// A threadConn is a connection with what the server wants to know of the caller.
type threadConn struct {
	*unary.Conn
	metadata []string
}

// threadConns are those that no thread uses.
type threadConns struct {
	mu       sync.Mutex
	idle     []*threadConn
	open     int // in use as well
	dialing  bool
	notUntil time.Time                // dial
	metadata atomic.Pointer[[]string] // of new connections; nil if it is not known
	good     atomic.Int32             // the endpoint that could be connected to last
	watches  int
	used     atomic.Bool // by a thread
	closed   bool
}

// takeConn returns a connection, or nil. The next call may get one then.
func (s *Space) takeConn() *threadConn {
	t := &s.threads
	for {
		t.mu.Lock()
		last := len(t.idle) - 1
		if last < 0 {
			dial := !t.closed && !t.dialing && t.open < mostConns && time.Now().After(t.notUntil)
			if dial {
				t.dialing = true
				t.open++
			}
			t.mu.Unlock()
			if dial {
				s.run(s.addConn)
			}
			return nil
		}
		conn := t.idle[last]
		t.idle = t.idle[:last]
		t.mu.Unlock()
		if conn.Usable() {
			return conn
		}
		s.dropConn(conn)
	}
}

func (s *Space) giveConn(conn *threadConn) {
	t := &s.threads
	t.mu.Lock()
	if !t.closed {
		t.idle = append(t.idle, conn)
		conn = nil
	}
	t.mu.Unlock()
	if conn != nil {
		s.dropConn(conn)
	}
}

// dropConn closes a connection that has failed. The next one is to another endpoint.
func (s *Space) dropConn(conn *threadConn) {
	conn.Close()
	s.threads.good.Add(1)
	s.threads.mu.Lock()
	defer s.threads.mu.Unlock()
	s.threads.open--
}

func (s *Space) closeConns() {
	s.threads.mu.Lock()
	s.threads.closed = true
	s.threads.mu.Unlock()
	s.dropIdle()
}

func (s *Space) dropIdle() {
	t := &s.threads
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, conn := range idle {
		s.dropConn(conn)
	}
}

// addConn makes a connection more.
func (s *Space) addConn() {
	conn, err := s.dialConn(s.ctx)
	t := &s.threads
	t.mu.Lock()
	t.dialing = false
	if err != nil {
		t.open--
		t.notUntil = time.Now().Add(dialPause)
	}
	t.mu.Unlock()
	if err == nil {
		s.giveConn(conn)
	}
}

// dialConn tries each endpoint once, from the one on that was good last.
func (s *Space) dialConn(ctx context.Context) (conn *threadConn, err error) {
	metadata, err := s.logIn()
	if err != nil {
		return nil, err
	}
	endpoints := s.client.Endpoints()
	first := int(s.threads.good.Load())
	for i := range endpoints {
		good := (first + i) % len(endpoints)
		limited, cancel := context.WithTimeout(ctx, connDialTime)
		conn, err = s.dialEndpoint(limited, endpoints[good], metadata)
		cancel()
		if err == nil {
			s.threads.good.Store(int32(good))
			return conn, nil
		}
		if ctx.Err() != nil { // an endpoint that hangs has used the time up
			s.threads.good.Store(int32((good + 1) % len(endpoints)))
			break
		}
	}
	return nil, err
}

func (s *Space) dialEndpoint(ctx context.Context, endpoint string, metadata []string) (
	*threadConn, error) {
	network, address, authority, config := target(endpoint, s.options.TLS)
	conn, err := unary.Dial(ctx, network, address, authority, config)
	if err != nil {
		return nil, err
	}
	interrupts := context.AfterFunc(ctx, conn.Interrupt)
	defer interrupts()
	deadline, _ := ctx.Deadline()
	if err := conn.Greet(deadline); err != nil {
		conn.Close()
		return nil, err
	}
	return &threadConn{conn, metadata}, nil
}

// logIn returns what requests tell of the caller. The token of a user is kept, because servers take
// long to check a password.
func (s *Space) logIn() ([]string, error) {
	if known := s.threads.metadata.Load(); known != nil {
		return *known, nil
	}
	metadata := []string{rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader}
	if s.client.Username != "" && s.client.Password != "" {
		ctx, cancel := context.WithTimeout(s.ctx, s.options.Patience)
		defer cancel()
		answer, err := s.client.Authenticate(ctx, s.client.Username, s.client.Password)
		switch {
		case err == nil:
			metadata = append(metadata, rpctypes.TokenFieldNameGRPC, answer.Token)
		case !errors.Is(err, rpctypes.ErrAuthNotEnabled):
			return nil, err
		}
	}
	s.threads.metadata.Store(&metadata)
	return metadata, nil
}

// target says how an endpoint is connected to, as the client does; the configuration is nil for no
// TLS.
func target(endpoint string, config *tls.Config) (network, address, authority string,
	_ *tls.Config) {
	network, address, scheme := "tcp", endpoint, ""
	if before, after, _ := strings.Cut(endpoint, ":"); before == "unix" || before == "unixs" {
		network, address, scheme = "unix", strings.TrimPrefix(after, "//"), before
	} else if parsed, err := url.Parse(endpoint); err == nil && parsed.Host != "" {
		address, scheme = parsed.Host, parsed.Scheme
	}
	authority = address
	if network == "unix" {
		authority = path.Base(address)
	}
	switch {
	case scheme == "http":
		config = nil
	case config == nil && (scheme == "https" || scheme == "unixs"):
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch {
	case config == nil:
	case config.ServerName != "":
		authority = config.ServerName
	default:
		config = config.Clone()
		var err error
		if config.ServerName, _, err = net.SplitHostPort(authority); err != nil {
			config.ServerName = authority
		}
	}
	return network, address, authority, config
}

// A request is a transaction that a thread has begun. It is the client of clientv3's transaction.
type request struct {
	pb.KVClient // panics: there are only transactions
	space       *Space
	conn        *threadConn // nil if etcd does not have the request
	until       time.Time   // the thread waits
	message     *pb.TxnRequest
}

// errUnanswered is returned if there is no answer yet: rest has to wait for it.
var errUnanswered = errors.New("golock/etcd: there is no answer yet")

func (r *request) transaction() clientv3.Txn {
	return clientv3.NewKVFromKVClient(r, nil).Txn(context.Background())
}

// Txn is a method of pb.KVClient.
func (r *request) Txn(_ context.Context, message *pb.TxnRequest, _ ...grpc.CallOption) (
	*pb.TxnResponse, error) {
	r.message = message
	encoded, err := message.Marshal()
	if err != nil {
		return nil, err
	}
	switch err := r.conn.Send(txnMethod, encoded, r.conn.metadata...); {
	case errors.Is(err, unary.ErrTooLarge):
		r.space.giveConn(r.conn)
		r.conn = nil
		return nil, errUnanswered
	case err != nil:
		r.space.dropConn(r.conn)
		return nil, err
	}
	answer, failed, err := r.receive(r.until)
	r.leave(failed, err)
	return answer, err
}

// receive reports whether the connection has failed, too.
func (r *request) receive(until time.Time) (_ *pb.TxnResponse, failed bool, _ error) {
	encoded, answered, err := r.conn.Receive(until)
	switch {
	case !answered && err == nil:
		return nil, false, errUnanswered
	case err != nil:
		return nil, !answered || status.Code(err) == codes.Unknown, err
	}
	answer := &pb.TxnResponse{}
	err = answer.Unmarshal(encoded)
	return answer, err != nil, err
}

// leave gives the connection back, unless there is no answer yet.
func (r *request) leave(failed bool, err error) {
	switch {
	case err == errUnanswered:
		return
	case notDone(err):
		r.space.threads.metadata.Store(nil)
		r.space.dropConn(r.conn)
	case failed:
		r.space.dropConn(r.conn)
	default:
		r.space.giveConn(r.conn)
	}
	r.conn = nil
}

// notDone reports whether a server has refused a transaction because of the connection: its token
// is too old, or it is one to a member without a leader. The client finds a way out.
func notDone(err error) bool {
	switch rpctypes.Error(err) {
	case rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty,
		rpctypes.ErrNoLeader:
		return true
	}
	return false
}

// isLeft reports whether rest has to be called after a transaction.
func (r *request) isLeft(err error) bool { return err == errUnanswered || notDone(err) }

// rest does what the thread has left.
func (r *request) rest(ctx context.Context) (*clientv3.TxnResponse, error) {
	for r.conn != nil {
		interrupts := context.AfterFunc(ctx, r.conn.Interrupt)
		answer, failed, err := r.receive(time.Now().Add(longestTimer))
		interrupted := !interrupts()
		if interrupted {
			r.space.dropConn(r.conn)
			r.space.dropIdle() // the server may hang
			return nil, context.Cause(ctx)
		}
		r.leave(failed, err)
		if !r.isLeft(err) {
			return (*clientv3.TxnResponse)(answer), clientv3.ContextError(ctx, err)
		}
	}
	answer, err := clientv3.RetryKVClient(r.space.client).Txn(ctx, r.message)
	return (*clientv3.TxnResponse)(answer), clientv3.ContextError(ctx, err)
}
