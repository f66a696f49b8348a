package golock

import (
	"context"

	"github.com/golock/golock/internal/core"
)

// An Event is a flag that goroutines and threads can wait for. What was done before it was set is seen by
// those who find it set, or were let go by it. The zero value is an event that is not set. It must not be
// copied after first use.
type Event struct {
	_     noCopy
	event core.Event
}

// Set sets the flag. All who wait for it go on, also when it is cleared at once.
func (e *Event) Set() { e.event.Set() }

// Clear clears the flag. Nobody who waits is kept from going on by it: they were let go when it was set.
func (e *Event) Clear() { e.event.Clear() }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return e.event.IsSet() }

// Wait returns nil when the flag is set, or has been since Wait was called, and the context's error when the
// context ends first. With a context that has already ended it only looks at the flag.
func (e *Event) Wait(ctx context.Context) error { return e.event.Wait(ctx) }
