package golock

import (
	"context"

	"github.com/golock/golock/internal/process"
)

// A ProcessEvent is a flag across the processes of one user on one machine, Go programs and
// golock.process.Event in Python alike. What happened before Set is visible after an IsSet that
// returned true or a Wait that returned nil because of it.
//
// Nobody owns an event. Whoever is killed or stopped, at any moment, no waiter sleeps on while the
// event is set.
type ProcessEvent struct {
	event *process.Event
}

// OpenProcessEvent returns the event of a name, any string that is not empty, as [OpenProcessLock]
// returns a lock. A name belongs to an event or to a lock. The error names the file in /dev/shm:
// there is no room, it is not the page of an event, or of another version, or others may access it.
func OpenProcessEvent(name string) (*ProcessEvent, error) {
	event, err := process.OpenEvent(name)
	if err != nil {
		return nil, err
	}
	return &ProcessEvent{event}, nil
}

// Set sets the flag. All current waiters return nil, even if the flag is cleared at once. It panics
// if a seccomp filter refuses the wake (FUTEX_WAKE_OP); the flag is not set then.
func (e *ProcessEvent) Set() {
	if err := e.event.Set(); err != nil {
		panic("golock: " + err.Error())
	}
}

// Clear clears the flag. It does not affect waiters that an earlier Set has woken.
func (e *ProcessEvent) Clear() { e.event.Clear() }

// IsSet reports whether the flag is set.
func (e *ProcessEvent) IsSet() bool { return e.event.IsSet() }

// Wait waits until the flag is set and returns nil. If the context ends first, it returns the
// context's error. With a context that has already ended it returns nil if the flag is set.
func (e *ProcessEvent) Wait(ctx context.Context) error { return e.event.Wait(ctx) }

// Close gives up the event's memory and descriptor. The event must not be used afterwards.
func (e *ProcessEvent) Close() { e.event.Close() }
