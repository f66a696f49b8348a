package tests_go

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/golock/golock/golock"
	"pgregory.net/rapid"
)

// arrival is how a call of Wait ended.
type arrival struct {
	index    int
	err      error
	panicked bool
}

type arriving struct {
	done   chan arrival
	cancel context.CancelFunc
}

// barrierModel is a barrier and the state that it must have.
type barrierModel struct {
	barrier *golock.Barrier
	parties int
	panics  bool // whether the action panics
	calls   int  // of the action
	broken  bool
	waiting []*arriving
	ordered bool // whether waiting is in the order of arrival
}

func (m *barrierModel) settle(t *rapid.T) {
	until(t, "all wait", func() bool { return m.barrier.Waiting() == len(m.waiting) })
	for _, c := range m.waiting {
		select {
		case a := <-c.done:
			t.Fatalf("a wait at the barrier ended with %v", a)
		default:
		}
	}
	if broken := m.barrier.Broken(); broken != m.broken {
		t.Fatalf("Broken() = %v, want %v", broken, m.broken)
	}
	totals.steps++
}

func (m *barrierModel) arrive(ctx context.Context, cancel context.CancelFunc) *arriving {
	c := &arriving{make(chan arrival, 1), cancel}
	go func() {
		var a arrival
		defer func() {
			a.panicked = recover() != nil
			c.done <- a
		}()
		a.index, a.err = m.barrier.Wait(ctx)
	}()
	totals.calls++
	return c
}

func (c *arriving) outcome(t *rapid.T) arrival {
	select {
	case a := <-c.done:
		return a
	case <-time.After(patience):
		t.Fatal("a wait at the barrier does not end")
		panic("unreachable")
	}
}

func (c *arriving) ends(t *rapid.T, want error) {
	if a := c.outcome(t); !errors.Is(a.err, want) || a.panicked {
		t.Fatalf("a wait at the barrier ended with %v, want %v", a, want)
	}
}

// breaks receives ErrBrokenBarrier from all waiters.
func (m *barrierModel) breaks(t *rapid.T) {
	for _, c := range m.waiting {
		c.ends(t, golock.ErrBrokenBarrier)
	}
	m.waiting, m.ordered, m.broken = nil, true, true
}

// trips receives the answers of the parties of one round, of which last was the last to arrive.
// Each has an index of its own.
func (m *barrierModel) trips(t *rapid.T, last *arriving, calls int) {
	if m.panics {
		if a := last.outcome(t); !a.panicked {
			t.Fatalf("the action panics, and the wait ends with %v", a)
		}
		m.breaks(t)
	} else {
		for i, c := range append(m.waiting, last) {
			a := c.outcome(t)
			if a.err != nil || a.panicked || m.ordered && a.index != i {
				t.Fatalf("number %d of a round ended with %v", i, a)
			}
		}
		m.waiting, m.ordered = nil, true
	}
	if m.calls != calls+1 {
		t.Fatalf("the action was called %d times", m.calls-calls)
	}
}

func (m *barrierModel) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": m.settle,
		"Wait": func(t *rapid.T) {
			calls := m.calls
			ctx, cancel := context.WithCancel(context.Background())
			c := m.arrive(ctx, cancel)
			switch {
			case m.broken:
				c.ends(t, golock.ErrBrokenBarrier)
			case len(m.waiting)+1 == m.parties:
				m.trips(t, c, calls)
			default:
				m.waiting = append(m.waiting, c)
			}
		},
		"Wait, short": func(t *rapid.T) {
			if m.broken || len(m.waiting)+1 == m.parties {
				t.Skip("it may end in time or not")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			m.arrive(ctx, cancel).ends(t, context.DeadlineExceeded)
			m.breaks(t)
		},
		"Wait, ended": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			m.arrive(ctx, cancel).ends(t, context.Canceled)
			m.breaks(t)
		},
		"cancel": func(t *rapid.T) {
			if len(m.waiting) == 0 {
				t.Skip("none waits")
			}
			i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "call")
			c := m.waiting[i]
			m.waiting = slices.Delete(m.waiting, i, i+1)
			c.cancel()
			c.ends(t, context.Canceled)
			m.breaks(t)
		},
		"all arrive at once": func(t *rapid.T) {
			if m.panics || m.broken || !m.ordered {
				t.Skip("who breaks it, or comes last, is not known")
			}
			number, calls := rapid.IntRange(2, 8).Draw(t, "number"), m.calls
			rounds := (len(m.waiting) + number) / m.parties
			all := slices.Clone(m.waiting)
			for range number {
				ctx, cancel := context.WithCancel(context.Background())
				all = append(all, m.arrive(ctx, cancel))
			}
			left := len(all) - rounds*m.parties
			var ended []int
			until(t, "the rounds are over", func() bool {
				all = slices.DeleteFunc(all, func(c *arriving) bool {
					select {
					case a := <-c.done:
						if a.err != nil || a.panicked {
							t.Errorf("one of a round ended with %v", a)
						}
						ended = append(ended, a.index)
						return true
					default:
						return false
					}
				})
				return len(all) == left
			})
			slices.Sort(ended)
			for i, index := range ended {
				if index != i/rounds {
					t.Fatalf("%d rounds of %d gave the indexes %v", rounds, m.parties, ended)
				}
			}
			m.waiting, m.ordered = all, left < 2
			until(t, "the others wait", func() bool { return m.barrier.Waiting() == left })
			if m.calls != calls+rounds {
				t.Fatalf("%d rounds called the action %d times", rounds, m.calls-calls)
			}
		},
		"Abort": func(t *rapid.T) {
			m.barrier.Abort()
			m.breaks(t)
			totals.calls++
		},
		"Reset": func(t *rapid.T) {
			m.barrier.Reset()
			m.breaks(t)
			m.broken = false
			totals.calls++
		},
		"the action panics, or not": func(*rapid.T) { m.panics = !m.panics },
	}
}

func barrierExample(t *rapid.T) {
	m := &barrierModel{parties: rapid.IntRange(1, 5).Draw(t, "parties"), ordered: true}
	m.barrier = golock.NewBarrier(m.parties, func() {
		if m.calls++; m.panics {
			panic("the action panics")
		}
	})
	if parties := m.barrier.Parties(); parties != m.parties {
		t.Fatalf("Parties() = %d, want %d", parties, m.parties)
	}
	totals.examples++
	defer func() {
		m.barrier.Abort()
		m.breaks(t)
	}()
	t.Repeat(m.actions())
}
