package tests_go

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"pgregory.net/rapid"
)

// permits has the methods of both kinds of semaphores.
type permits interface {
	Acquire(context.Context) error
	TryAcquire() bool
	AcquireTimeout(time.Duration) bool
	Release(n uint32)
	TryRelease(n uint32) bool
	Permits() uint32
}

// semaphoreModel is a semaphore and the state that it must have.
type semaphoreModel struct {
	permits
	bound      uint32
	memory     *uint64 // or nil, where threads cannot wait
	left       uint32
	goroutines []*pending // waiting, in the order of their arrival
	threads    []*pending
}

func (m *semaphoreModel) waiting() int { return len(m.goroutines) + len(m.threads) }

func newSemaphoreModel(initial uint32) *semaphoreModel {
	m := &semaphoreModel{memory: new(uint64), left: initial, bound: golock.MaxPermits}
	m.permits = (*golock.Semaphore)(unsafe.Pointer(m.memory))
	m.Release(initial)
	return m
}

func newBoundedModel(bound uint32) *semaphoreModel {
	return &semaphoreModel{permits: golock.NewBoundedSemaphore(bound), left: bound, bound: bound}
}

// release calls Release, and reports whether it returned.
func (m *semaphoreModel) release(n uint32) (released bool) {
	defer func() { released = recover() == nil }()
	m.Release(n)
	return
}

// settle waits until all calls that must wait do, and checks that no other does.
func (m *semaphoreModel) settle(t *rapid.T) {
	until(t, "the goroutines wait", func() bool {
		return len(m.goroutines) == 0 || goroutinesThatWait() == len(m.goroutines)
	})
	for _, c := range m.threads {
		until(t, "the thread sleeps", func() bool {
			return sleepsOn(c.thread, unsafe.Pointer(m.memory))
		})
	}
	stillWait(t, slices.Concat(m.goroutines, m.threads))
	if left := m.Permits(); left != m.left || m.left > 0 && m.waiting() > 0 {
		t.Fatalf("%d permits and %d waiters, want %d permits", left, m.waiting(), m.left)
	}
	totals.steps++
}

// released receives the answers of the waiters that n more permits serve: the first goroutines and
// the first threads.
func (m *semaphoreModel) released(t *rapid.T, n uint32) {
	for ; n > 0 && m.waiting() > 0; n-- {
		if a := firstOf(t, &m.goroutines, &m.threads); !a.taken || a.err != nil {
			t.Fatalf("a waiter was served with %v", a)
		}
	}
	m.left += n
}

// releaseSome adds permits, unless there would be too many.
func (m *semaphoreModel) releaseSome(t *rapid.T, release func(n uint32) bool) {
	n := rapid.SampledFrom([]uint32{0, 1, 1, 1, 2, 3, 7, golock.MaxPermits}).Draw(t, "n")
	if n > m.bound || m.left > m.bound-n {
		if release(n) {
			t.Fatalf("released %d permits beside %d, of %d", n, m.left, m.bound)
		}
	} else if n == golock.MaxPermits {
		t.Skip("so many would never be taken")
	} else {
		if !release(n) {
			t.Fatalf("did not release %d permits beside %d, of %d", n, m.left, m.bound)
		}
		m.released(t, n)
	}
	totals.calls++
}

// acquire starts a call that takes a permit if there is one, otherwise waits if waits is true, and
// otherwise returns refused.
func (m *semaphoreModel) acquire(
	t *rapid.T, waits bool, refused answer, run func() answer,
) *pending {
	if waits && m.waiting() >= 5 {
		t.Skip("enough wait")
	}
	c := start(run)
	totals.calls++
	if m.left == 0 && waits {
		m.goroutines = append(m.goroutines, c)
		return c
	}
	want := refused
	if m.left > 0 {
		want = answer{taken: true}
		m.left--
	}
	if got := c.answer(t, "an acquire"); got.taken != want.taken || !errors.Is(got.err, want.err) {
		t.Fatalf("answer %v, want %v", got, want)
	}
	return c
}

func (m *semaphoreModel) actions() map[string]func(*rapid.T) {
	within := func(ctx context.Context) func() answer {
		return func() answer {
			err := m.Acquire(ctx)
			return answer{err == nil, err}
		}
	}
	return map[string]func(*rapid.T){
		"": m.settle,
		"TryAcquire": func(t *rapid.T) {
			m.acquire(t, false, answer{}, func() answer { return answer{taken: m.TryAcquire()} })
		},
		"AcquireTimeout": func(t *rapid.T) {
			d := rapid.SampledFrom(short).Draw(t, "d")
			m.acquire(t, false, answer{}, func() answer {
				return answer{taken: m.AcquireTimeout(d)}
			})
		},
		"AcquireTimeout, long": func(t *rapid.T) {
			d := rapid.SampledFrom([]time.Duration{time.Hour, math.MaxInt64}).Draw(t, "d")
			m.acquire(t, true, answer{}, func() answer {
				return answer{taken: m.AcquireTimeout(d)}
			})
		},
		"Acquire": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			m.acquire(t, true, answer{}, within(ctx)).cancel = cancel
		},
		"Acquire, short": func(t *rapid.T) {
			if m.left > 0 {
				t.Skip("it may or may not take a permit")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			m.acquire(t, false, answer{err: context.DeadlineExceeded}, within(ctx))
		},
		"Acquire, ended": func(t *rapid.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := m.Acquire(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("Acquire with an ended context: %v", err)
			}
			totals.calls++
		},
		"cancel": func(t *rapid.T) {
			c := cancelOne(t, &m.goroutines)
			a := c.answer(t, "a cancelled call")
			if a.taken || !errors.Is(a.err, context.Canceled) {
				t.Fatalf("a cancelled call gave %v", a)
			}
		},
		"wait in a thread": func(t *rapid.T) {
			if !threadsCanWait || m.memory == nil || m.left > 0 || m.waiting() >= 5 {
				t.Skip("a thread would not wait")
			}
			m.threads = append(m.threads, waitInThread((*uint32)(unsafe.Pointer(m.memory)), true))
			totals.calls++
		},
		"Release":    func(t *rapid.T) { m.releaseSome(t, m.release) },
		"TryRelease": func(t *rapid.T) { m.releaseSome(t, m.TryRelease) },
		"all try at once": func(t *rapid.T) {
			number := rapid.IntRange(2, 8).Draw(t, "number")
			taken := together(number, m.TryAcquire)
			if want := min(number, int(m.left)); taken != want {
				t.Fatalf("%d of %d took one of %d permits", taken, number, m.left)
			}
			m.left -= uint32(taken)
			totals.calls += number
		},
		"all release at once": func(t *rapid.T) {
			number := rapid.IntRange(2, 8).Draw(t, "number")
			if m.waiting() > 0 && m.bound < uint32(number) {
				t.Skip("who is served decides how many may be released")
			}
			released := together(number, func() bool { return m.TryRelease(1) })
			if want := min(uint32(number), m.bound-m.left); uint32(released) != want {
				t.Fatalf("%d of %d released a permit beside %d, of %d",
					released, number, m.left, m.bound)
			}
			m.released(t, uint32(released))
			totals.calls += number
		},
		"SetHandoff": drawHandoff,
	}
}

func semaphoreExample(t *rapid.T) {
	initial := uint32(rapid.IntRange(0, 3).Draw(t, "permits"))
	m := newSemaphoreModel(initial)
	if initial > 0 && rapid.Bool().Draw(t, "bounded") {
		m = newBoundedModel(initial)
	}
	totals.examples++
	defer golock.SetHandoff(golock.DefaultHandoff)
	defer func() {
		for m.waiting() > 0 {
			m.release(1)
			m.released(t, 1)
		}
	}()
	t.Repeat(m.actions())
}
