package tests_go

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"pgregory.net/rapid"
)

var (
	soak       = flag.Duration("soak", 0, "for how long to repeat the comparison with the model")
	totalsFile = flag.String("totals", "", "file for the totals of the comparison, as JSON")
)

// patience is how long a call may take before it counts as hanging.
const patience = time.Minute

// answer is what a call returned.
type answer struct {
	taken bool
	err   error
}

// pending is a call that runs in a goroutine or thread of its own.
type pending struct {
	done   chan answer
	cancel context.CancelFunc
	thread int // the id of the thread that waits, or 0 for a goroutine

	sleepsOn unsafe.Pointer // the word that the thread sleeps on, for an event
}

func (c *pending) String() string {
	if c.thread != 0 {
		return fmt.Sprintf("thread %d", c.thread)
	}
	return fmt.Sprintf("goroutine call %p", c)
}

// model is a lock and the state that it must have.
type model struct {
	lock       *golock.Lock
	word       uint32
	held       bool
	goroutines []*pending // waiting, in the order of their arrival
	threads    []*pending
}

func (m *model) python() golock.PythonLock { return golock.PythonLock{Lock: m.lock} }

func (m *model) waiting() int { return len(m.goroutines) + len(m.threads) }

// example is the state of one example of locks.
type example struct {
	locks []*model
}

var totals struct{ examples, steps, calls int }

// Time limits within which a lock or a permit that is not free does not become free.
var short = []time.Duration{math.MinInt64, -1, 0, 1, time.Microsecond, 200 * time.Microsecond}

// Timeouts of Python's acquire, in seconds.
var timeouts = []float64{
	-1, 0, 1e-9, 2e-4, -0.9999999999, 9223372036, -2, -0.5, 1e300, -1e300, math.NaN(), math.Inf(1),
	math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64,
}

func start(run func() answer) *pending {
	c := &pending{done: make(chan answer, 1)}
	go func() { c.done <- run() }()
	return c
}

func (c *pending) answer(t *rapid.T, what string) answer {
	select {
	case a := <-c.done:
		return a
	case <-time.After(patience):
		t.Fatalf("%s has not answered", what)
		panic("unreachable")
	}
}

// waitInLine is the function in which a goroutine waits for its turn.
const waitInLine = "github.com/golock/golock/internal/core.(*place).wait("

// goroutinesThatWait counts the goroutines that stand in a line or sleep on a word.
func goroutinesThatWait() int {
	buffer := make([]byte, 1<<20)
	buffer = buffer[:runtime.Stack(buffer, true)]
	count := 0
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		state, frames, _ := strings.Cut(stack, "\n")
		inLine := strings.Contains(state, "[select") && strings.HasPrefix(frames, waitInLine)
		if inLine || strings.Contains(frames, "core.park(") {
			count++
		}
	}
	return count
}

// until waits until the condition holds.
func until(t *rapid.T, what string, condition func() bool) {
	for give := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(give) {
			t.Fatalf("it does not come to pass that %s", what)
		}
	}
}

// stillWait checks that none of the calls has returned.
func stillWait(t *rapid.T, calls []*pending) {
	for _, c := range calls {
		select {
		case a := <-c.done:
			t.Fatalf("%v went on with nobody's doing: %v", c, a)
		default:
		}
	}
}

// firstOf receives the answer of the first goroutine or the first thread, whichever is served, and
// removes it.
func firstOf(t *rapid.T, goroutines, threads *[]*pending) answer {
	var goroutine, thread chan answer
	if len(*goroutines) > 0 {
		goroutine = (*goroutines)[0].done
	}
	if len(*threads) > 0 {
		thread = (*threads)[0].done
	}
	select {
	case a := <-goroutine:
		*goroutines = (*goroutines)[1:]
		return a
	case a := <-thread:
		*threads = (*threads)[1:]
		return a
	case <-time.After(patience):
		t.Fatal("no waiter was served, or not the first")
		panic("unreachable")
	}
}

// oneWithContext draws one of the calls that have a context.
func oneWithContext(t *rapid.T, calls []*pending) *pending {
	var cancellable []*pending
	for _, c := range calls {
		if c.cancel != nil {
			cancellable = append(cancellable, c)
		}
	}
	if len(cancellable) == 0 {
		t.Skip("none waits with a context")
	}
	return rapid.SampledFrom(cancellable).Draw(t, "call")
}

// cancelOne ends the context of one of the calls, removes the call and returns it.
func cancelOne(t *rapid.T, calls *[]*pending) *pending {
	c := oneWithContext(t, *calls)
	c.cancel()
	*calls = slices.DeleteFunc(*calls, func(other *pending) bool { return other == c })
	return c
}

func drawHandoff(t *rapid.T) {
	thresholds := []time.Duration{0, 1, golock.DefaultHandoff, time.Hour}
	golock.SetHandoff(rapid.SampledFrom(thresholds).Draw(t, "threshold"))
}

// settle waits until all calls that must wait do, and checks that none has returned.
func (s *example) settle(t *rapid.T) {
	waiting := 0
	for _, m := range s.locks {
		waiting += len(m.goroutines)
	}
	until(t, "the goroutines wait", func() bool {
		return waiting == 0 || goroutinesThatWait() == waiting
	})
	for i, m := range s.locks {
		for _, c := range m.threads {
			until(t, "the thread sleeps", func() bool {
				return sleepsOn(c.thread, unsafe.Pointer(m.lock))
			})
		}
		stillWait(t, slices.Concat(m.goroutines, m.threads))
		if locked := m.lock.Locked(); locked != m.held {
			t.Fatalf("lock %d: Locked() = %v, want %v", i, locked, m.held)
		}
	}
	totals.steps++
}

// passOn receives the answer of the waiter that a release serves: the first goroutine of the line
// or the first thread.
func (m *model) passOn(t *rapid.T) {
	m.held = m.waiting() > 0
	if !m.held {
		return
	}
	a := firstOf(t, &m.goroutines, &m.threads)
	if !a.taken || a.err != nil {
		t.Fatalf("a waiter was served with %v", a)
	}
}

// acquire starts a call that takes the lock if it is free, otherwise waits if waits is true, and
// otherwise returns refused.
func (s *example) acquire(
	t *rapid.T, m *model, waits bool, refused answer, run func() answer,
) *pending {
	c := start(run)
	totals.calls++
	if m.held && waits {
		m.goroutines = append(m.goroutines, c)
		return c
	}
	want := answer{taken: true}
	if m.held {
		want = refused
	}
	m.held = true
	if got := c.answer(t, "an acquire"); got.taken != want.taken || !errors.Is(got.err, want.err) {
		t.Fatalf("answer %v, want %v", got, want)
	}
	return c
}

func (s *example) actions() map[string]func(*rapid.T) {
	index := rapid.IntRange(0, len(s.locks)-1)
	pick := func(t *rapid.T) *model { return s.locks[index.Draw(t, "lock")] }
	roomFor := func(t *rapid.T, m *model) {
		if m.waiting() >= 5 {
			t.Skip("enough wait")
		}
	}
	return map[string]func(*rapid.T){
		"": s.settle,
		"TryLock": func(t *rapid.T) {
			m := pick(t)
			s.acquire(t, m, false, answer{}, func() answer {
				return answer{taken: m.lock.TryLock()}
			})
		},
		"Lock": func(t *rapid.T) {
			m := pick(t)
			roomFor(t, m)
			s.acquire(t, m, true, answer{}, func() answer {
				m.lock.Lock()
				return answer{taken: true}
			})
		},
		"LockTimeout": func(t *rapid.T) {
			m := pick(t)
			d := rapid.SampledFrom(short).Draw(t, "d")
			s.acquire(t, m, false, answer{}, func() answer {
				return answer{taken: m.lock.LockTimeout(d)}
			})
		},
		"LockTimeout, long": func(t *rapid.T) {
			m := pick(t)
			roomFor(t, m)
			d := rapid.SampledFrom([]time.Duration{time.Hour, math.MaxInt64}).Draw(t, "d")
			s.acquire(t, m, true, answer{}, func() answer {
				return answer{taken: m.lock.LockTimeout(d)}
			})
		},
		"LockContext": func(t *rapid.T) {
			m := pick(t)
			roomFor(t, m)
			ctx, cancel := context.WithCancel(context.Background())
			c := s.acquire(t, m, true, answer{}, func() answer {
				err := m.lock.LockContext(ctx)
				return answer{err == nil, err}
			})
			c.cancel = cancel
		},
		"LockContext, short": func(t *rapid.T) {
			m := pick(t)
			if !m.held {
				t.Skip("it may or may not take a free lock")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			s.acquire(t, m, false, answer{err: context.DeadlineExceeded}, func() answer {
				err := m.lock.LockContext(ctx)
				return answer{err == nil, err}
			})
		},
		"LockContext, ended": func(t *rapid.T) {
			m := pick(t)
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := m.lock.LockContext(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("LockContext of an ended context: %v", err)
			}
			totals.calls++
		},
		"cancel": func(t *rapid.T) {
			c := cancelOne(t, &pick(t).goroutines)
			a := c.answer(t, "a cancelled call")
			if a.taken || !errors.Is(a.err, context.Canceled) {
				t.Fatalf("a cancelled call gave %v", a)
			}
		},
		"Acquire": func(t *rapid.T) {
			m := pick(t)
			blocking := rapid.Bool().Draw(t, "blocking")
			timeout := rapid.SampledFrom(timeouts).Draw(t, "timeout")
			err := refusal(blocking, timeout)
			if err != nil {
				taken, got := m.python().Acquire(blocking, timeout)
				if taken || !errors.Is(got, err) {
					t.Fatalf("Acquire = %v, %v, want %v", taken, got, err)
				}
				totals.calls++
				return
			}
			waits := blocking && (timeout == -1 || timeout == -0.9999999999 || timeout > 1)
			if waits {
				roomFor(t, m)
			}
			s.acquire(t, m, waits, answer{}, func() answer {
				taken, err := m.python().Acquire(blocking, timeout)
				return answer{taken, err}
			})
		},
		"wait in a thread": func(t *rapid.T) {
			m := pick(t)
			roomFor(t, m)
			if !threadsCanWait || !m.held {
				t.Skip("a thread would not wait")
			}
			c := waitInThread(&m.word, false)
			m.threads = append(m.threads, c)
			totals.calls++
		},
		"Unlock": func(t *rapid.T) {
			m := pick(t)
			panicked := start(func() (a answer) {
				defer func() { a.taken = recover() != nil }()
				m.lock.Unlock()
				return a
			}).answer(t, "Unlock").taken
			totals.calls++
			if panicked == m.held {
				t.Fatalf("Unlock of a lock held: %v, panicked: %v", m.held, panicked)
			}
			if m.held {
				m.passOn(t)
			}
		},
		"Release": func(t *rapid.T) {
			m := pick(t)
			err := start(func() answer {
				return answer{err: m.python().Release()}
			}).answer(t, "Release").err
			totals.calls++
			if (err == nil) != m.held || err != nil && !errors.Is(err, golock.ErrUnlocked) {
				t.Fatalf("Release of a lock held: %v, error: %v", m.held, err)
			}
			if m.held {
				m.passOn(t)
			}
		},
		"all try at once": func(t *rapid.T) {
			m := pick(t)
			number := rapid.IntRange(2, 8).Draw(t, "number")
			taken := together(number, func() bool { return m.lock.TryLock() })
			if want := map[bool]int{true: 0, false: 1}[m.held]; taken != want {
				t.Fatalf("%d of %d took the lock, want %d", taken, number, want)
			}
			m.held = true
			totals.calls += number
		},
		"all release at once": func(t *rapid.T) {
			m := pick(t)
			if m.waiting() > 0 {
				t.Skip("some wait")
			}
			number := rapid.IntRange(2, 8).Draw(t, "number")
			released := together(number, func() bool { return m.python().Release() == nil })
			if want := map[bool]int{true: 1, false: 0}[m.held]; released != want {
				t.Fatalf("%d of %d released the lock, want %d", released, number, want)
			}
			m.held = false
			totals.calls += number
		},
		"SetHandoff": drawHandoff,
	}
}

// refusal is the error that Acquire must return for its arguments alone.
func refusal(blocking bool, timeout float64) error {
	switch {
	case math.IsNaN(timeout):
		return golock.ErrNaNTimeout
	case math.Abs(timeout) > 9.3e9:
		return golock.ErrTimeoutTooLarge
	case timeout == -1 || timeout == -0.9999999999:
		return nil
	case !blocking:
		return golock.ErrNonBlockingTimeout
	case timeout < 0:
		return golock.ErrNegativeTimeout
	}
	return nil
}

// together calls try in the given number of goroutines at once. It returns how many returned true.
func together(number int, try func() bool) int {
	gate := make(chan struct{})
	results := make(chan bool, number)
	var ready sync.WaitGroup
	for range number {
		ready.Add(1)
		go func() {
			ready.Done()
			<-gate
			results <- try()
		}()
	}
	ready.Wait()
	close(gate)
	count := 0
	for range number {
		if <-results {
			count++
		}
	}
	return count
}

func lockExample(t *rapid.T) {
	s := &example{}
	for range 2 {
		m := &model{}
		m.lock = (*golock.Lock)(unsafe.Pointer(&m.word))
		s.locks = append(s.locks, m)
	}
	totals.examples++
	defer golock.SetHandoff(golock.DefaultHandoff)
	defer func() {
		for _, m := range s.locks {
			for m.held {
				m.lock.Unlock()
				m.passOn(t)
			}
		}
	}()
	t.Repeat(s.actions())
}

func TestSameAsTheModel(t *testing.T) {
	stop := time.Now().Add(*soak)
	for again := true; again && !t.Failed(); again = time.Now().Before(stop) {
		t.Run("lock", func(t *testing.T) { rapid.Check(t, lockExample) })
		t.Run("semaphore", func(t *testing.T) { rapid.Check(t, semaphoreExample) })
		t.Run("event", func(t *testing.T) { rapid.Check(t, eventExample) })
		t.Run("condition", func(t *testing.T) { rapid.Check(t, conditionExample) })
		t.Run("barrier", func(t *testing.T) { rapid.Check(t, barrierExample) })
	}
	t.Logf("%d differential examples, %d steps, %d calls",
		totals.examples, totals.steps, totals.calls)
	if *totalsFile != "" {
		data, err := json.Marshal(map[string]int{
			"differential examples, Go": totals.examples,
			"differential steps, Go":    totals.steps,
			"differential calls, Go":    totals.calls,
		})
		if err == nil {
			err = os.WriteFile(*totalsFile, data, 0o666)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
