package core

import (
	"context"
	"sync/atomic"
)

// The event's word.
//
// Nobody takes an event from another, and all who wait go on at once: so its word needs no list and no
// claimant. Those who wait sleep on it.
//
//	 31                        2         1      0
//	┌───────────────────────────┬─────────┬─────┐
//	│   how often it was set    │ sleepers│ set │
//	└───────────────────────────┴─────────┴─────┘
//
// How often it was set, modulo 2^30: who waits goes on when that is another number than when it came. So
// it goes on after a set, though the event be cleared before it looks.
//
// Sleepers: somebody may be asleep on the word. Illegal to leave clear when somebody sleeps and the event
// was not set since. Legal to set when nobody sleeps: the next set then wakes nobody. A set clears it and wakes
// all, so those who sleep again have said so again.
const (
	Set      = 1 << 0
	Sleepers = 1 << 1

	SetOnce = 1 << 2
)

// EventChannel is the channel on which threads that wait for an event sleep, so that the end of a goroutine's
// context, which has one of its own, does not wake them.
const EventChannel = channelSleeper

// An Event is the word, and what is done with it. package golock has the documentation.
type Event struct{ word uint32 }

// Set sets the flag. A Set on a set event writes the word too: what was done before this set must be seen by who clears the event
// after, and looks again. A load could come before the stores that precede it.
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

// Clear clears the flag.
func (e *Event) Clear() { atomic.AndUint32(&e.word, ^uint32(Set)) }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return atomic.LoadUint32(&e.word)&Set != 0 }

// over reports whether a wait is over that began when the word was came.
func over(initial, word uint32) bool { return word&Set != 0 || (word^initial)&^(Set|Sleepers) != 0 }

// Wait waits for a set.
func (e *Event) Wait(ctx context.Context) error {
	initial := atomic.LoadUint32(&e.word)
	if over(initial, initial) {
		return nil
	}
	// The goroutines stand in a line, of which the first sleeps on the word. A set lets it go, and with it
	// those behind it; but not one that came before the set and stood in the line after.
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

// result is how a wait ends, that began when the word was came.
func (e *Event) result(ctx context.Context, initial uint32) error {
	if over(initial, atomic.LoadUint32(&e.word)) {
		return nil
	}
	return ctx.Err()
}
