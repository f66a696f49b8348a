package core

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/golock/golock/internal/waittest"
)

func TestEventZeroValue(t *testing.T) {
	var e Event
	if size := unsafe.Sizeof(e); size != 4 {
		t.Errorf("an Event has %d bytes, want 4", size)
	}
	if e.IsSet() || e.word != 0 {
		t.Errorf("IsSet = %v, the word is %#x", e.IsSet(), e.word)
	}
}

func TestEventTransitions(t *testing.T) {
	const twice, last = 2 * SetOnce, 1<<32 - SetOnce
	for _, c := range []struct {
		name         string
		do           func(*Event)
		before, want uint32
	}{
		{"set", (*Event).Set, 0, SetOnce | Set},
		{"set, with sleepers", (*Event).Set, Sleepers, SetOnce | Set},
		{"set again", (*Event).Set, SetOnce | Set, SetOnce | Set},
		{"clear", (*Event).Clear, SetOnce | Set, SetOnce},
		{"clear again", (*Event).Clear, SetOnce, SetOnce},
		{"clear, with sleepers", (*Event).Clear, SetOnce | Sleepers, SetOnce | Sleepers},
		{"set after clear", (*Event).Set, SetOnce, twice | Set},
		{"set after clear, with sleepers", (*Event).Set, SetOnce | Sleepers, twice | Set},
		{"the last set before the count wraps", (*Event).Set, last - SetOnce, last | Set},
		{"the count wraps", (*Event).Set, last, Set},
		{"the count wraps, with sleepers", (*Event).Set, last | Sleepers, Set},
	} {
		e := Event{word: c.before}
		if c.do(&e); e.word != c.want || e.IsSet() != (c.want&Set != 0) {
			t.Errorf("%s: %#x became %#x, want %#x; IsSet = %v",
				c.name, c.before, e.word, c.want, e.IsSet())
		}
	}
}

func TestEventWaitIsOver(t *testing.T) {
	const last = 1<<32 - SetOnce
	for _, c := range []struct {
		name          string
		initial, word uint32
		over          bool
	}{
		{"nothing happened", SetOnce, SetOnce, false},
		{"somebody sleeps", SetOnce, SetOnce | Sleepers, false},
		{"it was set", SetOnce, 2*SetOnce | Set, true},
		{"it was set and cleared", SetOnce, 2 * SetOnce, true},
		{"it was set and cleared, and somebody sleeps", SetOnce, 2*SetOnce | Sleepers, true},
		{"it was set when the wait began", SetOnce | Set, SetOnce | Set, true},
		{"the count wrapped", last, 0, true},
		{"the count wrapped, with sleepers", last | Sleepers, Sleepers, true},
	} {
		if got := over(c.initial, c.word); got != c.over {
			t.Errorf("%s: over(%#x, %#x) = %v", c.name, c.initial, c.word, got)
		}
	}
}

// waitInThread waits as a Python thread does, which sleeps on the word beside the first goroutine.
func waitInThread(e *Event) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	initial := atomic.LoadUint32(&e.word)
	for word := initial; !over(initial, word); word = atomic.LoadUint32(&e.word) {
		if word&Sleepers != 0 || atomic.CompareAndSwapUint32(&e.word, word, word|Sleepers) {
			park(&e.word, word|Sleepers, channelAny, Forever)
		}
	}
}

func TestEventWithAnEndedContext(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	var e Event
	defer leavesNothing(t, &e.word)()
	if err := e.Wait(ended); !errors.Is(err, context.Canceled) || e.word != 0 {
		t.Errorf("Wait for an event that is not set: %v, the word is %#x", err, e.word)
	}
	e.Set()
	if err := e.Wait(ended); err != nil {
		t.Errorf("Wait for an event that is set: %v", err)
	}
}

// All that wait when the event is set go on, even if it is cleared at once, and see what was done
// before. Meanwhile the number of sets wraps.
func TestEventSetAndClearedAtOnce(t *testing.T) {
	const threads, waiters, rounds = 3, 9, 300
	e := Event{word: 1<<32 - rounds/2*SetOnce}
	defer leavesNothing(t, &e.word)()
	for round := range rounds {
		done := false // written before the event is set, read by those who have waited for it
		ended := waittest.InBackground(waiters, func(i int) {
			if i < threads {
				waitInThread(&e)
			} else if err := e.Wait(context.Background()); err != nil {
				t.Error(err)
			}
			if !done {
				t.Error("what was done before is not seen")
			}
		})
		waittest.Eventually(t, "all wait", func() bool {
			return LineLength(&e.word) == waiters-threads && Asleep(&e.word) == threads+1
		})
		done = true
		e.Set()
		e.Clear()
		waittest.Within(t, "all go on", ended)
		if want := uint32(round+1-rounds/2) * SetOnce; e.word != want {
			t.Fatalf("the word is %#x in the end, want %#x", e.word, want)
		}
	}
}

// Only one thread sleeps, however many goroutines wait.
func TestEventLineOccupiesOneThread(t *testing.T) {
	const waiters, rounds = 200, 5
	var e Event
	defer leavesNothing(t, &e.word)()
	for range rounds {
		ended := waittest.InBackground(waiters, func(int) {
			if err := e.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
		waittest.Eventually(t, "all wait", func() bool {
			return LineLength(&e.word) == waiters && Asleep(&e.word) > 0
		})
		if n := Asleep(&e.word); n != 1 {
			t.Errorf("%d threads sleep", n)
		}
		e.Set()
		e.Clear()
		waittest.Within(t, "all go on", ended)
	}
}

// A goroutine whose wait began before a set, and which enters the line behind one that came after
// it, goes on at once: the one before it may wait for ever.
func TestEventLineBehindOneThatCameLater(t *testing.T) {
	var e Event
	defer leavesNothing(t, &e.word)()
	shard := linesOf(&e.word) // so that it has come, but cannot enter
	ended := waittest.InBackground(1, func(int) {
		if err := e.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	buffer := make([]byte, 1<<20)
	waittest.Eventually(t, "it is about to enter", func() bool {
		stacks := string(buffer[:runtime.Stack(buffer, true)])
		return strings.Contains(stacks, "core.enter(") &&
			strings.Contains(stacks, "core.(*Event).Wait(")
	})
	e.Set()
	e.Clear()
	shard.of = map[*uint32]*line{&e.word: {}} // of one that came later
	lineCount.Add(1)
	shard.Unlock()
	waittest.Within(t, "it goes on", ended)
	if n := LineLength(&e.word); n != 1 {
		t.Errorf("the line has %d, want the one that came later", n)
	}
	leave(&e.word, false)
}

// A goroutine whose context ends leaves its place, in the kernel or in the line, to the next; the
// others stay.
func TestEventWaitUntilTheContextEnds(t *testing.T) {
	const threads, goroutines = 2, 4
	for cancelled := range goroutines {
		var e Event
		defer leavesNothing(t, &e.word)()
		ctx, cancel := context.WithCancel(context.Background())
		failed, ended := make(chan error, goroutines), make(chan struct{}, threads+goroutines)
		for range threads {
			go func() { waitInThread(&e); ended <- struct{}{} }()
		}
		for i := range goroutines {
			own := context.Background()
			if i == cancelled {
				own = ctx
			}
			go func() {
				if err := e.Wait(own); err != nil {
					failed <- err
				}
				ended <- struct{}{}
			}()
			waittest.Eventually(t, "it waits", func() bool { return LineLength(&e.word) == i+1 })
		}
		waittest.Eventually(t, "all sleep", func() bool { return Asleep(&e.word) == threads+1 })
		cancel()
		<-ended
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("number %d: %v", cancelled, err)
		}
		waittest.Eventually(t, "the others sleep", func() bool {
			return Asleep(&e.word) == threads+1
		})
		if n := LineLength(&e.word); n != goroutines-1 || len(ended) != 0 {
			t.Errorf("number %d: %d are left in the line, %d have gone on",
				cancelled, n, len(ended))
		}
		e.Set()
		for range threads + goroutines - 1 {
			<-ended
		}
		if len(failed) != 0 {
			t.Errorf("number %d: another failed, with %v", cancelled, <-failed)
		}
	}
}

// The event was set before the context ended, so no wait returns the context's error.
func TestEventSetBeforeTheContextEnds(t *testing.T) {
	const waiters, rounds = 8, 200
	var e Event
	defer leavesNothing(t, &e.word)()
	for range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		ended := waittest.InBackground(waiters, func(int) {
			if err := e.Wait(ctx); err != nil {
				t.Error(err)
			}
		})
		waittest.Eventually(t, "all wait", func() bool { return LineLength(&e.word) == waiters })
		e.Set()
		cancel()
		e.Clear()
		waittest.Within(t, "all go on", ended)
	}
}

// A wait whose context ends while the event is set gets either answer, and leaves the line.
func TestEventAndContextsThatEnd(t *testing.T) {
	const waiters, rounds = 8, 500
	var e Event
	defer leavesNothing(t, &e.word)()
	for round := range uint32(rounds) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := waittest.InBackground(waiters, func(i int) {
			if i%2 == 0 {
				if err := e.Wait(context.Background()); err != nil {
					t.Error(err)
				}
			} else if err := e.Wait(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		waittest.Eventually(t, "all wait", func() bool { return LineLength(&e.word) == waiters })
		go cancel()
		e.Set()
		waittest.Within(t, "all go on", ended)
		if want := (round+1)*SetOnce | Set; e.word != want {
			t.Fatalf("the word is %#x in the end, want %#x", e.word, want)
		}
		e.Clear()
	}
}

// Concurrent sets, clears and waits: every wait ends, because the event is set again.
func TestEventStorm(t *testing.T) {
	const threads, waiters, rounds = 2, 8, 2000
	var e Event
	defer leavesNothing(t, &e.word)()
	ended := waittest.InBackground(waiters, func(i int) {
		for round := range rounds {
			if i < threads {
				waitInThread(&e)
				continue
			}
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
	if e.IsSet() {
		t.Errorf("the word is %#x in the end", e.word)
	}
}
