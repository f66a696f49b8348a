package process

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/golock/golock/internal/core"
)

// The word of an event, on which its waiters sleep. It is where a lock has its word.
//
//	 31                        2          1       0
//	┌───────────────────────────┬──────────┬───────┐
//	│      number of clears     │ sleepers │  set  │
//	└───────────────────────────┴──────────┴───────┘
//
// Nobody owns an event, so a death leaves only what the dead was about to do. A set is one step: a
// compare-and-swap if nobody sleeps, and otherwise FUTEX_WAKE_OP (futex(2)), which sets the bit and
// wakes all sleepers while the kernel has the queue of the word locked. A process is killed, or
// stopped, before that system call or after it, and never within. So no waiter sleeps on while the
// event is set, whoever dies, and no process needs a slot or a sentinel to watch over it. Two steps,
// a change of the word and then a wake, would need both, and a process stopped in between, which
// is alive, would leave the waiters asleep.
//
// FUTEX_WAKE_OP cannot compare. It sets one bit, whatever the others are, so a set must not have to
// change them:
//
// Number of clears that ended a set, modulo 2^30: a waiter goes on when the event is set, or when
// the number differs from that at the beginning of the wait. So it goes on after a set even if the
// event is cleared before it looks.
//
// Sleepers: somebody may be asleep on the word. A waiter sets it before it sleeps. A clear that
// ends a set clears it: the set has woken all, and on a word that is set nobody falls asleep. While
// somebody sleeps, the word is the one that it sleeps on. A killed waiter may leave the bit; the
// next set then wakes nobody.
const (
	Set      = 1 << 0
	Sleepers = 1 << 1

	ClearedOnce = 1 << 2
)

// setBit makes FUTEX_WAKE_OP set the lowest bit: FUTEX_OP(FUTEX_OP_OR, Set, FUTEX_OP_CMP_EQ, 0).
const setBit = 2<<28 | Set<<12

// Event is an event across processes. Package golock has the documentation.
type Event struct {
	page *page

	// Of the goroutines that wait, one sleeps on the word. It closes the channel when it wakes.
	mutex sync.Mutex
	woken chan struct{} // nil: nobody sleeps
	close sync.Once
}

// OpenEvent returns the event of a name.
func OpenEvent(name string) (*Event, error) {
	p, err := open(name, KindEvent)
	if err != nil {
		return nil, err
	}
	return &Event{page: p}, nil
}

// Close gives the event's page back.
func (e *Event) Close() { e.close.Do(e.page.drop) }

func (e *Event) load() uint32 { return atomic.LoadUint32(e.page.memory.word()) }

// Set sets the event. It returns an error if the kernel refuses to wake others; the event is not
// set then. It writes the word even if the event is set: whoever clears the event afterwards must
// see what was done before this call, and a load could be reordered before earlier stores.
func (e *Event) Set() error {
	e.page.order.beforeRelease()
	word := e.page.memory.word()
	for {
		old := atomic.OrUint32(word, 0)
		switch {
		case old&Set != 0:
			return nil
		case old&Sleepers != 0:
			return setAndWakeAll(word)
		}
		if atomic.CompareAndSwapUint32(word, old, old|Set) {
			return nil
		}
	}
}

// setAndWakeAll sets the lowest bit of the word and wakes all who sleep there, in one step.
func setAndWakeAll(word *uint32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 5,
		math.MaxInt32, 0, uintptr(unsafe.Pointer(word)), setBit) // FUTEX_WAKE_OP
	if errno != 0 {
		return fmt.Errorf("FUTEX_WAKE_OP: %w", errno)
	}
	return nil
}

// Clear clears the event.
func (e *Event) Clear() {
	word := e.page.memory.word()
	for {
		old := atomic.LoadUint32(word)
		next := old&^(Set|Sleepers) + ClearedOnce
		if old&Set == 0 || atomic.CompareAndSwapUint32(word, old, next) {
			return
		}
	}
}

// IsSet reports whether the event is set.
func (e *Event) IsSet() bool {
	set := e.load()&Set != 0
	e.page.order.afterAcquire()
	return set
}

// over reports whether a wait is over that began with the word initial.
func over(initial, word uint32) bool { return word&Set != 0 || (word^initial)&^(Set|Sleepers) != 0 }

// Wait waits until the event is set. It returns the context's error if the context ended first.
//
// The goroutine that sleeps has loaded its initial word before those that rely on it look at the
// word. So a set that ends their waits ends its own: it does not sleep, or is woken.
func (e *Event) Wait(ctx context.Context) error {
	initial := e.load()
	for word := initial; ; word = e.load() {
		if over(initial, word) {
			e.page.order.afterAcquire()
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		woken, sleeps := e.enter()
		word = e.load()
		switch {
		case sleeps:
			if !over(initial, word) {
				e.sleep(ctx, word)
			}
			e.leave()
		case !over(initial, word):
			select {
			case <-woken:
			case <-ctx.Done():
			}
		}
	}
}

// enter returns the channel that says that the goroutine that sleeps has woken, and reports whether
// the caller is that one.
func (e *Event) enter() (woken <-chan struct{}, sleeps bool) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.woken == nil {
		e.woken = make(chan struct{})
		sleeps = true
	}
	return e.woken, sleeps
}

func (e *Event) leave() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	close(e.woken)
	e.woken = nil
}

// sleep announces a sleeper and sleeps, unless the word is another by now.
func (e *Event) sleep(ctx context.Context, old uint32) {
	word := e.page.memory.word()
	if old&Sleepers == 0 && !atomic.CompareAndSwapUint32(word, old, old|Sleepers) {
		return
	}
	channels := uint32(channelSleeper)
	if ctx.Done() != nil {
		channels |= channelCancel
		gone := make(chan struct{})
		defer close(gone)
		defer context.AfterFunc(ctx, func() { cancel(word, gone) })()
	}
	parkShared(word, old|Sleepers, channels, core.Forever)
}
