package golock

import (
	"context"
	"sync/atomic"
	"unsafe"
)

// An Event is a flag that goroutines and threads can wait for. The zero value is an event that is not
// set. It must not be copied after first use.
type Event struct {
	word uint32
}

// EventAt views the word at p as an Event, under the conditions of [At].
func EventAt(p unsafe.Pointer) *Event { return (*Event)(view(p, unsafe.Alignof(Event{}))) }

// Set sets the flag. All who wait for it go on, also when it is cleared at once.
func (e *Event) Set() {
	if !atomic.CompareAndSwapUint32(&e.word, 0, Set) && !e.IsSet() {
		SetEvent(&e.word)
	}
}

// Clear clears the flag.
func (e *Event) Clear() { atomic.AndUint32(&e.word, listeningMask) }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return atomic.LoadUint32(&e.word)&Set != 0 }

// Wait returns nil when the flag is set, or has been since it was called, and the context's error when the
// context ends first.
func (e *Event) Wait(ctx context.Context) error {
	if e.IsSet() {
		return nil
	}
	listener, done := newListener()
	defer done()
	if !Listen(&e.word, listener) {
		return nil
	}
	listener.await(ctx)
	if Withdraw(&e.word, listener) == 0 {
		return ctx.Err()
	}
	return nil
}
