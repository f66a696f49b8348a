package golock

import (
	"context"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// An Event is a flag that goroutines and threads can wait for. What happened before Set is visible
// after an IsSet that returned true or a Wait that returned nil because of it.
//
// The zero value is not set. An Event must not be copied after first use.
type Event struct {
	_     noCopy
	event core.Event
}

// Set sets the flag. All current waiters return nil, even if the flag is cleared at once.
func (e *Event) Set() {
	recordTaken(e.event.Word(), sight.KindEvent)
	e.event.Set()
}

// Clear clears the flag. It does not affect waiters that an earlier Set has woken.
func (e *Event) Clear() { e.event.Clear() }

// IsSet reports whether the flag is set.
func (e *Event) IsSet() bool { return e.event.IsSet() }

// Wait waits until the flag is set and returns nil. If the context ends first, it returns the
// context's error. With a context that has already ended it returns nil if the flag is set.
func (e *Event) Wait(ctx context.Context) error {
	if !sight.Records(sight.Waits) || e.IsSet() {
		return e.event.Wait(ctx)
	}
	record := sight.WaitBegins(ctx, e.event.Word(), sight.KindEvent, core.Forever)
	err := e.event.Wait(ctx)
	sight.WaitEnded(record, err == nil)
	return err
}
