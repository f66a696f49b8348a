package core

import (
	"context"
	"sync/atomic"
)

// The event's word.
//
// All waiters of an event go on at once, so its word needs neither a list nor a claimant. The
// waiters sleep on it.
//
//	 31                        2         1      0
//	┌───────────────────────────┬─────────┬─────┐
//	│       number of sets      │ sleepers│ set │
//	└───────────────────────────┴─────────┴─────┘
//
// Number of sets, modulo 2^30: a waiter goes on when it differs from the number at the beginning of
// the wait. So a waiter goes on after a set even if the event is cleared before it looks.
//
// Sleepers: somebody may be asleep on the word. It must be set while somebody sleeps and the event
// was not set since. It may be set while nobody sleeps; the next set then wakes nobody. A set
// clears it and wakes all sleepers, and those that sleep again set it again.
const (
	Set      = 1 << 0
	Sleepers = 1 << 1

	SetOnce = 1 << 2
)

// EventChannel is the channel on which threads wait for an event. A goroutine whose context ends is
// woken on another one, so that no thread wakes up for it.
const EventChannel = channelSleeper

// An Event is the word with its operations. Package golock has the documentation.
type Event struct{ word uint32 }

// Set sets the flag. It writes the word even if the event is already set: whoever clears the event
// afterwards must see what was done before this Set, and a load could be reordered before earlier
// stores.
func (e *Event) Set() {
	for {
		old := atomic.OrUint32(&e.word, 0)
		if old&Set != 0 {
			return
		}
		if atomic.CompareAndSwapUint32(&e.word, old, (old&^Sleepers+SetOnce)|Set) {
			if old&Sleepers != 0 {
				wakeAll(&e.word)
			}
			return
		}
	}
}

// Word returns the address of the word.
func (e *Event) Word() *uint32 { return &e.word }

// Clear clears the flag.
func (e *Event) Clear() { atomic.AndUint32(&e.word, ^uint32(Set)) }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return atomic.LoadUint32(&e.word)&Set != 0 }

// over reports whether a wait is over that began with the word initial.
func over(initial, word uint32) bool { return word&Set != 0 || (word^initial)&^(Set|Sleepers) != 0 }

// Wait waits for a set.
func (e *Event) Wait(ctx context.Context) error {
	initial := atomic.LoadUint32(&e.word)
	if over(initial, initial) {
		return nil
	}
	// The goroutines wait in a line, and only the first sleeps on the word. A set wakes it, and it
	// promotes those behind it. A goroutine whose wait began before the set, but which enters the
	// line later, must not wait.
	if p := enter(&e.word); p != nil {
		if over(initial, atomic.LoadUint32(&e.word)) || p.wait(ctx, Forever) != nil {
			if !abandon(&e.word, p) {
				leave(&e.word, false)
			}
			return e.result(ctx, initial)
		}
	}
	defer leave(&e.word, false)
	gone := make(chan struct{})
	defer close(gone)
	defer context.AfterFunc(ctx, func() { cancel(&e.word, gone) })()
	for {
		word := atomic.LoadUint32(&e.word)
		if over(initial, word) || ctx.Err() != nil {
			return e.result(ctx, initial)
		}
		if word&Sleepers != 0 || atomic.CompareAndSwapUint32(&e.word, word, word|Sleepers) {
			park(&e.word, word|Sleepers, EventChannel|channelCancel, Forever)
		}
	}
}

// result returns the result of a wait that began with the word initial.
func (e *Event) result(ctx context.Context, initial uint32) error {
	if over(initial, atomic.LoadUint32(&e.word)) {
		return nil
	}
	return ctx.Err()
}
