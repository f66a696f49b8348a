// Package peer is the Go side of the tests in which goroutines and Python threads share a lock.
// gopy binds it.
package peer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/internal/core"
)

// A Peer shares one lock with Python.
type Peer struct {
	lock  *golock.Lock
	count int // guarded by lock

	goroutines sync.WaitGroup
	let        chan struct{}
	ctx        context.Context
	cancel     context.CancelFunc

	entered, acquired, refused, canceled, expired atomic.Int64
}

// NewPeer returns an error if the address is not that of a shared lock.
func NewPeer(address uintptr) (*Peer, error) {
	lock, err := golock.At(address)
	if err != nil {
		return nil, err
	}
	p := &Peer{lock: lock, let: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Acquire does what acquire of Python's lock does.
func (p *Peer) Acquire(blocking bool, timeout float64) (bool, error) {
	return golock.PythonLock{Lock: p.lock}.Acquire(blocking, timeout)
}

// Release does what release of Python's lock does.
func (p *Peer) Release() error { return golock.PythonLock{Lock: p.lock}.Release() }

// Locked does what locked of Python's lock does.
func (p *Peer) Locked() bool { return p.lock.Locked() }

// Waiters reports whether the lock has waiters.
func (p *Peer) Waiters() bool {
	// The word is all there is in a Lock.
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(p.lock)))&core.Waiters != 0
}

// Count returns the counter; the caller holds the lock.
func (p *Peer) Count() int { return p.count }

// SetCount changes the counter; the caller holds the lock.
func (p *Peer) SetCount(n int) { p.count = n }

// Hold takes the lock in a goroutine, which keeps it until Let.
func (p *Peer) Hold() {
	held := make(chan struct{})
	p.goroutines.Add(1)
	go func() {
		defer p.goroutines.Done()
		p.lock.Lock()
		close(held)
		<-p.let
		p.lock.Unlock()
	}()
	<-held
}

// Let ends one Hold.
func (p *Peer) Let() { p.let <- struct{}{} }

// A step tries to take the lock in one way, and returns an error if it does not get it.
type step func(*Peer) error

var errRefused = errors.New("refused")

func taken(ok bool) error {
	if ok {
		return nil
	}
	return errRefused
}

// steps has the steps by name. A name that ends with = is followed by a number of seconds.
var steps = map[string]func(time.Duration) step{
	"lock": func(time.Duration) step {
		return func(p *Peer) error { p.lock.Lock(); return nil }
	},
	"try": func(time.Duration) step {
		return func(p *Peer) error { return taken(p.lock.TryLock()) }
	},
	"timeout=": func(d time.Duration) step {
		return func(p *Peer) error { return taken(p.lock.LockTimeout(d)) }
	},
	"context": func(time.Duration) step { // until Cancel
		return func(p *Peer) error { return p.lock.LockContext(p.ctx) }
	},
	"deadline=": func(d time.Duration) step {
		return func(p *Peer) error {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			return p.lock.LockContext(ctx)
		}
	},
	"cancel=": func(d time.Duration) step {
		return func(p *Peer) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer time.AfterFunc(d, cancel).Stop()
			return p.lock.LockContext(ctx)
		}
	},
}

func parse(word string) (step, error) {
	name, number := word, "0"
	if before, after, found := strings.Cut(word, "="); found {
		name, number = before+"=", after
	}
	seconds, err := strconv.ParseFloat(number, 64)
	if make := steps[name]; make != nil && err == nil {
		return make(time.Duration(seconds * float64(time.Second))), nil
	}
	return nil, fmt.Errorf("%q is no step", word)
}

// Start starts goroutines that each do the same steps in order, given as words such as "lock
// timeout=0.01". A step that gets the lock reads the counter, yields, and writes it back increased
// by one.
func (p *Peer) Start(goroutines int, words string) error {
	var schedule []step
	for _, word := range strings.Fields(words) {
		s, err := parse(word)
		if err != nil {
			return err
		}
		schedule = append(schedule, s)
	}
	for range goroutines {
		p.goroutines.Add(1)
		go func() {
			defer p.goroutines.Done()
			for _, s := range schedule {
				p.take(s)
			}
		}()
	}
	return nil
}

func (p *Peer) take(s step) {
	p.entered.Add(1)
	switch err := s(p); err {
	case nil:
		n := p.count
		runtime.Gosched()
		p.count = n + 1
		p.lock.Unlock()
		p.acquired.Add(1)
	case context.Canceled:
		p.canceled.Add(1)
	case context.DeadlineExceeded:
		p.expired.Add(1)
	default:
		p.refused.Add(1)
	}
}

// Cancel ends the context of the steps "context".
func (p *Peer) Cancel() { p.cancel() }

// Join waits until all goroutines have ended, and returns an error if that takes longer than the
// given number of seconds.
func (p *Peer) Join(seconds float64) error {
	ended := make(chan struct{})
	go func() {
		p.goroutines.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return fmt.Errorf("goroutines still run after %v s: %d steps begun, %d ended", seconds,
			p.entered.Load(), p.acquired.Load()+p.refused.Load()+p.canceled.Load()+p.expired.Load())
	}
}

// Entered returns the number of steps that have begun.
func (p *Peer) Entered() int { return int(p.entered.Load()) }

// Acquired returns the number of steps that got the lock.
func (p *Peer) Acquired() int { return int(p.acquired.Load()) }

// Refused returns the number of tries and timeouts that did not get the lock.
func (p *Peer) Refused() int { return int(p.refused.Load()) }

// Canceled returns the number of steps that ended because their context was canceled.
func (p *Peer) Canceled() int { return int(p.canceled.Load()) }

// Expired returns the number of steps that ended because their context's deadline had passed.
func (p *Peer) Expired() int { return int(p.expired.Load()) }

// Spin computes in the calling thread for the given number of seconds, while Go's collector runs
// and sends it signals.
func Spin(seconds float64) {
	limit := time.Duration(seconds * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			runtime.GC()
		}
	}()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		for range 1_000_000 {
		}
	}
}

// SetHandoff sets the hand-off threshold of this Go runtime, in seconds.
func SetHandoff(seconds float64) {
	golock.SetHandoff(time.Duration(seconds * float64(time.Second)))
}

// HandoffAfter returns the hand-off threshold of this Go runtime, in seconds.
func HandoffAfter() float64 { return golock.Handoff().Seconds() }
