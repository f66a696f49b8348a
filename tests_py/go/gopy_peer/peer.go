// Package peer is the Go side of the tests in which goroutines and Python threads share a lock; gopy binds it.
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

// NewPeer answers an address that is not a lock's with an error.
func NewPeer(address uintptr) (*Peer, error) {
	lock, err := golock.LockAt(address)
	if err != nil {
		return nil, err
	}
	p := &Peer{lock: lock, let: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Acquire is acquire of Python's lock.
func (p *Peer) Acquire(blocking bool, timeout float64) (bool, error) {
	return golock.PythonLock{Lock: p.lock}.Acquire(blocking, timeout)
}

// Release is release of Python's lock.
func (p *Peer) Release() error { return golock.PythonLock{Lock: p.lock}.Release() }

// Locked is locked of Python's lock.
func (p *Peer) Locked() bool { return p.lock.Locked() }

// Waiters reports whether somebody waits for the lock.
func (p *Peer) Waiters() bool {
	// A Lock is its word.
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

// A step asks for the lock in one way, and says why it did not get it.
type step func(*Peer) error

var errRefused = errors.New("refused")

func taken(ok bool) error {
	if ok {
		return nil
	}
	return errRefused
}

// steps are what a goroutine may do; those marked with = have a number of seconds behind it.
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

// Start lets so many goroutines do the same steps, one after the other, with words such as "lock timeout=0.01".
// Each time a step gets the lock the counter grows by one, in two parts between which others run.
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

// Join waits until all goroutines have ended, for so many seconds at most.
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

// Entered is how many steps have begun.
func (p *Peer) Entered() int { return int(p.entered.Load()) }

// Acquired is how many steps got the lock.
func (p *Peer) Acquired() int { return int(p.acquired.Load()) }

// Refused is how many tries and timeouts did not get the lock.
func (p *Peer) Refused() int { return int(p.refused.Load()) }

// Canceled is how many steps ended because their context was canceled.
func (p *Peer) Canceled() int { return int(p.canceled.Load()) }

// Expired is how many steps ended because their context's deadline had passed.
func (p *Peer) Expired() int { return int(p.expired.Load()) }

// Spin computes in the calling thread for so many seconds, interrupted by the signals of Go's collector, which runs
// meanwhile.
func Spin(seconds float64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds*float64(time.Second)))
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			runtime.GC()
		}
	}()
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); {
		for range 1_000_000 {
		}
	}
}

// SetHandoff sets the hand-off threshold of this Go runtime, in seconds.
func SetHandoff(seconds float64) { golock.SetHandoff(time.Duration(seconds * float64(time.Second))) }

// HandoffAfter returns the hand-off threshold of this Go runtime, in seconds.
func HandoffAfter() float64 { return golock.Handoff().Seconds() }
