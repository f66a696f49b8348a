package golock

import (
	"context"
	"sync/atomic"
	"unsafe"
)

// An Event is a flag that goroutines and threads can wait for. What was done before it was set is seen by
// those who find it set, or were let go by it. The zero value is an event that is not set. It must not be
// copied after first use.
type Event struct {
	_    noCopy
	word uint32
}

// EventAt views the word at p as an Event, under the conditions of [At], and one more: those who wait for it
// stand in a list that each Go runtime has for itself, so the runtime that views it must be the only one.
func EventAt(p unsafe.Pointer) *Event { return (*Event)(view(p, unsafe.Alignof(Event{}))) }

// Set sets the flag. All who wait for it go on, also when it is cleared at once.
func (e *Event) Set() {
	if !atomic.CompareAndSwapUint32(&e.word, 0, Set) && !e.IsSet() {
		SetEvent(&e.word)
	}
}

// Clear clears the flag. Nobody who waits is kept from going on by it: they were let go when it was set.
func (e *Event) Clear() { atomic.AndUint32(&e.word, listeningMask) }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return atomic.LoadUint32(&e.word)&Set != 0 }

// Wait returns nil when the flag is set, or has been since Wait was called, and the context's error when the
// context ends first. With a context that has already ended it only looks at the flag.
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
