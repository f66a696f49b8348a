package golock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

func listening(word *uint32) int { return int(atomic.LoadUint32(word) / Listening) }

func TestEventFlag(t *testing.T) {
	var e Event
	if size := unsafe.Sizeof(e); size != 4 {
		t.Errorf("an Event has %d bytes, want 4", size)
	}
	for _, c := range []struct {
		name string
		do   func()
		set  bool
	}{
		{"at first", func() {}, false},
		{"cleared", e.Clear, false},
		{"set", e.Set, true},
		{"set twice", e.Set, true},
		{"cleared after", e.Clear, false},
		{"set again", e.Set, true},
	} {
		if c.do(); e.IsSet() != c.set || e.word != map[bool]uint32{true: Set}[c.set] {
			t.Errorf("%s: IsSet = %v, the word is %#x", c.name, e.IsSet(), e.word)
		}
	}
}

func TestEventAtRefusesBadAddresses(t *testing.T) {
	var words [2]uint32
	for name, p := range map[string]unsafe.Pointer{
		"nil":        nil,
		"misaligned": unsafe.Add(unsafe.Pointer(&words), 2),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("EventAt(%s) did not panic", name)
				}
			}()
			EventAt(p)
		}()
	}
	EventAt(unsafe.Pointer(&words[1])).Set()
	if words != [2]uint32{0, Set} {
		t.Errorf("words are %#x after the second was set", words)
	}
}

func TestEventWithAnEndedContext(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	var e Event
	if err := e.Wait(ended); !errors.Is(err, context.Canceled) || e.word != 0 {
		t.Errorf("Wait for an event that is not set: %v, the word is %#x", err, e.word)
	}
	e.Set()
	if err := e.Wait(ended); err != nil {
		t.Errorf("Wait for an event that is set: %v", err)
	}
}

// within fails the test when what is to be closed is not closed in time.
func within(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
}

// inBackground runs so many goroutines, and returns a channel that is closed when all have ended.
func inBackground(number int, run func(i int)) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		concurrently(number, run)
		close(ended)
	}()
	return ended
}

// All who wait when the event is set go on, though it is cleared at once; and they see what was done
// before.
func TestEventSetAndClearedAtOnce(t *testing.T) {
	const threads, waiters, rounds = 3, 9, 300
	var e Event
	for range rounds {
		done := false // written before the event is set, read by those who have waited for it
		ended := inBackground(waiters, func(i int) {
			if i < threads {
				if told := listensInThread(&e.word, new(Listener)); told != Told {
					t.Errorf("a thread was told %d", told)
				}
			} else if err := e.Wait(context.Background()); err != nil {
				t.Error(err)
			}
			if !done {
				t.Error("what was done before is not seen")
			}
		})
		eventually(t, "all wait", func() bool { return listening(&e.word) == waiters })
		done = true
		e.Set()
		e.Clear()
		within(t, "all go on", ended)
		if e.word != 0 {
			t.Fatalf("the word is %#x in the end", e.word)
		}
	}
}

// The event came first, so nobody answers that the context has ended, though it has.
func TestEventSetBeforeTheContextEnds(t *testing.T) {
	const waiters, rounds = 8, 200
	var e Event
	for range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		ended := inBackground(waiters, func(int) {
			if err := e.Wait(ctx); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "all wait", func() bool { return listening(&e.word) == waiters })
		e.Set()
		cancel()
		e.Clear()
		within(t, "all go on", ended)
	}
}

// Those whose context ends while the event is set get the one answer or the other; the list forgets them.
func TestEventAndContextsThatEnd(t *testing.T) {
	const waiters, rounds = 8, 500
	var e Event
	for range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		ended := inBackground(waiters, func(i int) {
			if i%2 == 0 {
				if err := e.Wait(context.Background()); err != nil {
					t.Error(err)
				}
			} else if err := e.Wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		eventually(t, "all wait", func() bool { return listening(&e.word) == waiters })
		go cancel()
		e.Set()
		within(t, "all go on", ended)
		if e.word != Set {
			t.Fatalf("the word is %#x in the end", e.word)
		}
		e.Clear()
	}
}

// Setting, clearing and waiting all the time: whoever waits goes on, because it is set again.
func TestEventStorm(t *testing.T) {
	const waiters, rounds = 8, 2000
	var e Event
	ended := inBackground(waiters, func(i int) {
		for round := range rounds {
			ctx, cancel := context.Background(), context.CancelFunc(func() {})
			if (i+round)%3 == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(round%40)*time.Microsecond)
			}
			if err := e.Wait(ctx); err != nil && (i+round)%3 != 0 {
				t.Error(err)
			}
			cancel()
		}
	})
	var setters sync.WaitGroup
	for range 2 {
		setters.Add(1)
		go func() {
			defer setters.Done()
			for {
				select {
				case <-ended:
					return
				default:
					e.Set()
					e.Clear()
				}
			}
		}()
	}
	setters.Wait()
	if e.word != 0 {
		t.Errorf("the word is %#x in the end", e.word)
	}
}
