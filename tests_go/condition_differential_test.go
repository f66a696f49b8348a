package tests_go

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/golock/golock/golock"
	"pgregory.net/rapid"
)

// conditionModel is a condition and the state that it must have.
type conditionModel struct {
	condition golock.Condition
	waiting   []*pending // in the order of their arrival
	inside    int        // the goroutines that hold its lock; guarded by that lock alone
}

func (m *conditionModel) settle(t *rapid.T) {
	if n := m.condition.Waiting(); n != len(m.waiting) {
		t.Fatalf("Waiting() = %d, want %d", n, len(m.waiting))
	}
	for _, c := range m.waiting {
		if c.thread != 0 {
			until(t, "the thread sleeps", func() bool { return sleepsOn(c.thread, c.sleepsOn) })
		}
	}
	stillWait(t, m.waiting)
	totals.steps++
}

// wait starts a goroutine that waits, and returns when it can be notified.
func (m *conditionModel) wait(t *rapid.T, ctx context.Context) *pending {
	if len(m.waiting) >= 6 {
		t.Skip("enough wait")
	}
	before := m.condition.Waiting()
	c := start(func() answer {
		m.condition.L.Lock()
		defer m.condition.L.Unlock()
		err := m.condition.Wait(ctx)
		if m.inside++; m.inside != 1 {
			t.Errorf("%d are inside", m.inside)
		}
		m.inside--
		return answer{err == nil, err}
	})
	m.waiting = append(m.waiting, c)
	until(t, "it waits", func() bool { return m.condition.Waiting() == before+1 })
	totals.calls++
	return c
}

// notified removes and returns the first n waiters, whose Wait must return nil.
func (m *conditionModel) notified(n int) []*pending {
	n = min(max(n, 0), len(m.waiting))
	first := m.waiting[:n]
	m.waiting = m.waiting[n:]
	return first
}

func receive(t *rapid.T, calls []*pending, want error) {
	for _, c := range calls {
		if a := c.answer(t, "Wait"); !errors.Is(a.err, want) || (a.err == nil) != (want == nil) {
			t.Fatalf("Wait = %v, want %v", a.err, want)
		}
	}
}

func (m *conditionModel) actions() map[string]func(*rapid.T) {
	number := rapid.SampledFrom([]int{math.MinInt, -1, 0, 1, 1, 1, 2, 3, math.MaxInt})
	return map[string]func(*rapid.T){
		"": m.settle,
		"Wait": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			m.wait(t, ctx).cancel = cancel
		},
		"Wait, short": func(t *rapid.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			c := start(func() answer {
				m.condition.L.Lock()
				defer m.condition.L.Unlock()
				return answer{err: m.condition.Wait(ctx)}
			})
			receive(t, []*pending{c}, context.DeadlineExceeded)
			totals.calls++
		},
		"Wait, ended": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			m.condition.L.Lock()
			if err := m.condition.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("Wait with an ended context: %v", err)
			}
			m.condition.L.Unlock()
			totals.calls++
		},
		"cancel": func(t *rapid.T) {
			receive(t, []*pending{cancelOne(t, &m.waiting)}, context.Canceled)
		},
		"Notify": func(t *rapid.T) {
			n := number.Draw(t, "n")
			m.condition.Notify(n)
			receive(t, m.notified(n), nil)
			totals.calls++
		},
		"Notify, with the lock": func(t *rapid.T) {
			n := number.Draw(t, "n")
			m.condition.L.Lock()
			m.condition.Notify(n)
			first := m.notified(n)
			stillWait(t, first)
			if waiting := m.condition.Waiting(); waiting != len(m.waiting) {
				t.Errorf("Waiting() = %d after Notify(%d), want %d", waiting, n, len(m.waiting))
			}
			m.condition.L.Unlock()
			receive(t, first, nil)
			totals.calls++
		},
		"cancel and Notify, with the lock": func(t *rapid.T) { // a waiter needs the lock to give up
			c, n := oneWithContext(t, m.waiting), number.Draw(t, "n")
			m.condition.L.Lock()
			c.cancel()
			m.condition.Notify(n)
			first := m.notified(n)
			m.condition.L.Unlock()
			receive(t, first, nil)
			if i := slices.Index(m.waiting, c); i >= 0 {
				m.waiting = slices.Delete(m.waiting, i, i+1)
				receive(t, []*pending{c}, context.Canceled)
			}
			totals.calls++
		},
		"NotifyAll": func(t *rapid.T) {
			m.condition.NotifyAll()
			receive(t, m.notified(len(m.waiting)), nil)
			totals.calls++
		},
		"all notify at once": func(t *rapid.T) {
			number := rapid.IntRange(2, 8).Draw(t, "number")
			together(number, func() bool { m.condition.Notify(1); return true })
			receive(t, m.notified(number), nil)
			totals.calls += number
		},
	}
}

func conditionExample(t *rapid.T) {
	m := &conditionModel{condition: golock.Condition{L: new(golock.Lock)}}
	if rapid.Bool().Draw(t, "over a Mutex") {
		m.condition.L = new(sync.Mutex)
	}
	totals.examples++
	defer func() {
		m.condition.NotifyAll()
		receive(t, m.waiting, nil)
	}()
	t.Repeat(m.actions())
}
