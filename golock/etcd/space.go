package etcd

import (
	"context"
	"crypto/tls"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Options are those of a [Space]. The zero value of each field stands for its default.
type Options struct {
	// Prefix is that of all keys, "golock/" by default. Processes that are to exclude each other
	// need the same one.
	Prefix string
	// TTL is how long the locks of a process that has died stay taken, 10 s by default. Each
	// process has its own. It is rounded up to seconds, and etcd may raise it (to 2 s by default).
	TTL time.Duration
	// Handoff is how long the process may keep a lock for its own waiters before those of other
	// processes, 20 ms by default; negative for no time.
	Handoff time.Duration
	// Patience is how long a call waits for any answer of etcd before it returns an
	// [UnreachableError], 5 s by default.
	Patience time.Duration
	// TLS is what the client uses. It serves to say in errors why an endpoint cannot be used.
	TLS *tls.Config
}

const (
	retryPause   = 50 * time.Millisecond
	closeTimeout = 2 * time.Second
)

// A Space is a process's place in etcd: a client, a prefix, and a lease that is kept alive. All its
// locks are lost when the lease ends, and the next one that is acquired gets a new lease.
type Space struct {
	client  *clientv3.Client
	options Options
	ctx     context.Context
	stop    context.CancelFunc
	value   string // of the keys: who this process is
	current atomic.Pointer[lease]

	mu       sync.Mutex
	closed   bool
	running  int           // goroutines
	idle     chan struct{} // closed when none runs; nil unless somebody waits for that
	locks    map[string]weak.Pointer[Lock]
	claims   map[string]*claim // by key, from before the key is made until it is gone
	granting *granting         // nil unless a lease is being granted
	threads  threadConns
}

// NewSpace returns a space. The client stays the caller's, and must be closed after the space.
func NewSpace(client *clientv3.Client, options Options) *Space {
	if options.Prefix == "" {
		options.Prefix = "golock/"
	}
	if options.TTL <= 0 {
		options.TTL = 10 * time.Second
	}
	if options.Handoff == 0 {
		options.Handoff = 20 * time.Millisecond
	}
	if options.Patience <= 0 {
		options.Patience = 5 * time.Second
	}
	s := &Space{
		client:  client,
		options: options,
		value:   thisProcess().encode(),
		locks:   map[string]weak.Pointer[Lock]{},
		claims:  map[string]*claim{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close revokes the lease, which frees all locks of the space. It waits for etcd's answer until the
// context ends, or for 2 s.
func (s *Space) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if l := s.current.Load(); l != nil {
		l.expire()
	}
	s.stop()
	s.closeConns()
	s.mu.Lock()
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	s.run(func() {})
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run starts a goroutine for which Close waits.
func (s *Space) run(do func()) {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	go func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.running--; s.running == 0 && s.idle != nil {
				close(s.idle)
				s.idle = nil
			}
		}()
		do()
	}()
}

// Lock returns the lock of a name. It is the same one for all who ask while it is in use.
func (s *Space) Lock(name string) *Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lock := s.locks[name].Value(); lock != nil {
		return lock
	}
	lock := newLock(s, name)
	s.locks[name] = weak.Make(lock)
	runtime.AddCleanup(lock, s.forget, name)
	return lock
}

func (s *Space) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[name].Value() == nil {
		delete(s.locks, name)
	}
}

// prefixOf returns the prefix of a lock's keys. No lock's prefix is that of another one's.
func (s *Space) prefixOf(name string) string {
	return s.options.Prefix + url.PathEscape(name) + "/"
}

func (s *Space) claimed(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims[key] != nil
}

func (s *Space) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// A granting is the request for a lease. It goes on when those who wait for it give up, so that a
// later call finds the lease: an acquire may have less time than etcd takes.
type granting struct {
	done  chan struct{}
	lease *lease
	err   error
}

// openLease returns the lease, a new one if the last has ended.
func (s *Space) openLease(ctx context.Context) (*lease, error) {
	if l := s.current.Load(); l != nil && l.alive() {
		return l, nil
	}
	s.mu.Lock()
	g := s.granting
	begins := g == nil
	if begins {
		g = &granting{done: make(chan struct{})}
		s.granting = g
	}
	s.mu.Unlock()
	if begins {
		s.run(func() { s.grant(g) })
	}
	select {
	case <-g.done:
		return g.lease, g.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *Space) grant(g *granting) {
	defer close(g.done)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.granting = nil
	}()
	if l := s.current.Load(); l != nil && l.alive() {
		g.lease = l
		return
	}
	if s.isClosed() {
		g.err = ErrClosed
		return
	}
	// Close does not cancel the request, because etcd may have granted the lease.
	ctx, cancel := context.WithTimeout(context.Background(), s.attemptTime())
	defer cancel()
	stop := context.AfterFunc(s.ctx, func() { time.AfterFunc(closeTimeout, cancel) })
	defer stop()
	l, err := grant(ctx, s)
	if err != nil {
		g.err = err
		return
	}
	s.current.Store(l)
	if s.isClosed() { // perhaps Close came too early to see the lease
		l.expire()
		g.err = ErrClosed
		return
	}
	g.lease = l
}
