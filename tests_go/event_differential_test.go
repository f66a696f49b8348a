package tests_go

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/internal/core"
	"pgregory.net/rapid"
)

// eventModel is an event and the state that it must have.
type eventModel struct {
	event   *golock.Event
	word    uint32
	set     bool
	waiting []*pending
}

func (m *eventModel) settle(t *rapid.T) {
	goroutines := 0
	for _, c := range m.waiting {
		if c.thread == 0 {
			goroutines++
		} else {
			until(t, "the thread sleeps", func() bool { return sleepsOn(c.thread, c.sleepsOn) })
		}
	}
	until(t, "the goroutines wait", func() bool {
		return goroutines == 0 || goroutinesThatWait() == goroutines
	})
	stillWait(t, m.waiting)
	if set := m.event.IsSet(); set != m.set || set && len(m.waiting) > 0 {
		t.Fatalf("IsSet() = %v with %d waiting, want %v", set, len(m.waiting), m.set)
	}
	totals.steps++
}

// letGo receives the answers of all waiters.
func (m *eventModel) letGo(t *rapid.T) {
	for _, c := range m.waiting {
		if a := c.answer(t, "a wait for an event that was set"); !a.taken || a.err != nil {
			t.Fatalf("a wait for an event that was set gave %v", a)
		}
	}
	m.waiting = nil
}

// wait starts a call that returns nil if the event is set, otherwise waits if waits is true, and
// otherwise returns refused.
func (m *eventModel) wait(t *rapid.T, ctx context.Context, waits bool, refused error) *pending {
	if waits && len(m.waiting) >= 6 {
		t.Skip("enough wait")
	}
	c := start(func() answer {
		err := m.event.Wait(ctx)
		return answer{err == nil, err}
	})
	totals.calls++
	if !m.set && waits {
		m.waiting = append(m.waiting, c)
		return c
	}
	if m.set {
		refused = nil
	}
	if a := c.answer(t, "Wait"); !errors.Is(a.err, refused) {
		t.Fatalf("Wait = %v, want %v", a.err, refused)
	}
	return c
}

func (m *eventModel) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": m.settle,
		"Set": func(t *rapid.T) {
			m.event.Set()
			m.set = true
			m.letGo(t)
			totals.calls++
		},
		"Clear": func(*rapid.T) {
			m.event.Clear()
			m.set = false
			totals.calls++
		},
		"Set and Clear": func(t *rapid.T) {
			m.event.Set()
			m.event.Clear()
			m.set = false
			m.letGo(t)
			totals.calls += 2
		},
		"all set at once": func(t *rapid.T) {
			number := rapid.IntRange(2, 8).Draw(t, "number")
			together(number, func() bool { m.event.Set(); return true })
			m.set = true
			m.letGo(t)
			totals.calls += number
		},
		"all set and clear at once": func(t *rapid.T) {
			number := rapid.IntRange(2, 8).Draw(t, "number")
			together(number, func() bool { m.event.Set(); m.event.Clear(); return true })
			m.set = false
			m.letGo(t)
			totals.calls += 2 * number
		},
		"Wait": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			m.wait(t, ctx, true, nil).cancel = cancel
		},
		"Wait, short": func(t *rapid.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			m.wait(t, ctx, false, context.DeadlineExceeded)
		},
		"Wait, ended": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			m.wait(t, ctx, false, context.Canceled)
		},
		"cancel": func(t *rapid.T) {
			a := cancelOne(t, &m.waiting).answer(t, "a cancelled wait")
			if !errors.Is(a.err, context.Canceled) {
				t.Fatalf("a cancelled wait gave %v", a)
			}
		},
		"wait in a thread": func(t *rapid.T) {
			if !threadsCanWait || m.set || len(m.waiting) >= 6 {
				t.Skip("a thread would not wait")
			}
			m.waiting = append(m.waiting, awaitInThread(&m.word))
			totals.calls++
		},
	}
}

func eventExample(t *rapid.T) {
	// An event that was never used, one whose count of sets is about to wrap, or one that sleepers
	// have left.
	words := []uint32{0, -core.SetOnce & (1<<32 - 1), core.Sleepers}
	m := &eventModel{word: rapid.SampledFrom(words).Draw(t, "word")}
	m.event = (*golock.Event)(unsafe.Pointer(&m.word))
	totals.examples++
	defer func() {
		m.event.Set()
		m.letGo(t)
	}()
	t.Repeat(m.actions())
}
