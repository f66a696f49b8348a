package golock

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/waittest"
)

// leavesNothing returns a function that reports what the waiters for the word have left behind
// since.
func leavesNothing(t *testing.T, word *uint32) func() {
	before := core.Counted(word) // tests that drive a Waiter by hand leave some
	return func() {
		t.Helper()
		if n := core.Counted(word) - before; n != 0 {
			t.Errorf("%d waiters are still counted", n)
		}
		if n := core.LineLength(word); n != 0 {
			t.Errorf("a line of %d is left behind", n)
		}
	}
}

func (s *Semaphore) word() *uint32 {
	s.cell() // a zero value gets its memory
	return (*uint32)(unsafe.Pointer(&s.memory))
}

func TestSemaphoreLayout(t *testing.T) {
	var s Semaphore
	if size, alignment := unsafe.Sizeof(s), unsafe.Alignof(s); size != 8 || alignment != 8 {
		t.Errorf("a semaphore has %d bytes, aligned to %d", size, alignment)
	}
}

func TestSemaphoreZeroValue(t *testing.T) {
	uses := map[string]func(*Semaphore) bool{
		"Permits":        func(s *Semaphore) bool { return s.Permits() == 0 },
		"TryAcquire":     func(s *Semaphore) bool { return !s.TryAcquire() },
		"AcquireTimeout": func(s *Semaphore) bool { return !s.AcquireTimeout(time.Microsecond) },
		"TryRelease":     func(s *Semaphore) bool { return s.TryRelease(0) },
		"bounded":        func(*Semaphore) bool { return !new(BoundedSemaphore).TryRelease(1) },
	}
	for name, use := range uses {
		var s Semaphore
		if !use(&s) || s.Permits() != 0 {
			t.Errorf("%s: there are %d permits", name, s.Permits())
		}
		s.Release(2)
		if !s.TryAcquire() || s.Permits() != 1 {
			t.Errorf("%s: %d permits after Release(2) and TryAcquire, want 1", name, s.Permits())
		}
	}
}

func TestSemaphoreZeroValueUsedAtOnce(t *testing.T) {
	for range 1000 {
		var s Semaphore
		waittest.Concurrently(4, func(i int) {
			if i%2 == 0 {
				s.Release(1)
			} else {
				_ = s.Acquire(context.Background())
			}
		})
		if s.Permits() != 0 {
			t.Fatalf("there are %d permits", s.Permits())
		}
	}
}

func TestReleaseOfTooManyPermits(t *testing.T) {
	s := NewSemaphore(MaxPermits - 1)
	if !panics(func() { s.Release(2) }) || s.Permits() != MaxPermits-1 {
		t.Errorf("Release does not panic, or leaves %d permits", s.Permits())
	}
	if s.TryRelease(2) || s.Permits() != MaxPermits-1 {
		t.Errorf("TryRelease adds permits, or leaves %d", s.Permits())
	}
	s.Release(1)
	s.Release(0)
	if !s.TryAcquire() || s.Permits() != MaxPermits-1 {
		t.Errorf("%d permits are left of the greatest number, want one less", s.Permits())
	}
}

func panics(call func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	call()
	return false
}

// A release of no permits wakes nobody and changes nothing.
func TestReleaseOfNone(t *testing.T) {
	var s Semaphore
	got := make(chan bool)
	go func() { got <- s.AcquireTimeout(time.Minute) }()
	waittest.Eventually(t, "the waiter sleeps", func() bool { return core.Asleep(s.word()) == 1 })
	before := s.memory.Load()
	s.Release(0)
	if after := s.memory.Load(); after != before {
		t.Errorf("the semaphore was %#x, is %#x", before, after)
	}
	// It may be awake for a moment, because a goroutine's patience ends now and then.
	waittest.Eventually(t, "the waiter sleeps", func() bool { return core.Asleep(s.word()) == 1 })
	s.Release(1)
	<-got
}

func waitAsAThread(s *Semaphore, deadline int64) error {
	return s.cell().WaitAsThread(context.Background(), deadline)
}

func takeSomehow(s *Semaphore, way int) bool {
	switch way % 6 {
	case 0:
		return s.TryAcquire()
	case 1:
		return s.AcquireTimeout(time.Duration(way%50) * time.Microsecond)
	case 2:
		limit := time.Duration(way%50) * time.Microsecond
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return s.Acquire(ctx) == nil
	case 3:
		return waitAsAThread(s, core.Forever) == nil
	default:
		return s.Acquire(context.Background()) == nil
	}
}

// Many goroutines take permits in every way and release several at once. No more are taken than
// there are, and in the end none is missing.
func TestPermitsAreExact(t *testing.T) {
	const permits, goroutines, rounds = 3, 16, 1500
	for _, threshold := range []time.Duration{0, DefaultHandoff} {
		t.Run(threshold.String(), func(t *testing.T) {
			SetHandoff(threshold)
			defer SetHandoff(DefaultHandoff)
			s := NewSemaphore(permits)
			defer leavesNothing(t, s.word())()
			var inside, tooMany atomic.Int32
			waittest.Concurrently(goroutines, func(i int) {
				for round := range rounds {
					if !takeSomehow(s, i+round) {
						continue
					}
					took := uint32(1)
					if round%3 == 0 && s.TryAcquire() {
						took++
					}
					if inside.Add(int32(took)) > permits {
						tooMany.Add(1)
					}
					if round%5 == 0 {
						runtime.Gosched()
					}
					inside.Add(-int32(took))
					s.Release(took)
				}
			})
			if s.Permits() != permits || tooMany.Load() != 0 {
				t.Errorf("in the end there are %d permits, want %d; %d times too many were taken",
					s.Permits(), permits, tooMany.Load())
			}
			if s.cell().Locked() {
				t.Errorf("the word is %#x: a permit is reserved for nobody", *s.word())
			}
		})
	}
}

// Release(n) wakes n waiters, whether they sleep on the word themselves, as threads do, or stand in
// the line.
func TestReleaseOfManyWakesAsMany(t *testing.T) {
	const threads, goroutines = 6, 6
	var s Semaphore
	defer leavesNothing(t, s.word())()
	taken := make(chan bool, threads+goroutines)
	for range threads {
		go func() { taken <- waitAsAThread(&s, core.Forever) == nil }()
	}
	for range goroutines {
		go func() { taken <- s.Acquire(context.Background()) == nil }()
	}
	waittest.Eventually(t, "all wait", func() bool {
		return core.Asleep(s.word()) == threads+1 && core.LineLength(s.word()) == goroutines
	})
	for _, n := range []uint32{1, 4, 2, 5} {
		s.Release(n)
		for range n {
			if !<-taken {
				t.Error("an acquire failed")
			}
		}
		if s.Permits() != 0 || s.TryAcquire() || len(taken) != 0 {
			t.Fatalf("after Release(%d) %d permits are left", n, s.Permits())
		}
	}
}

// With a threshold of 0 permits go to the waiters in the order of their arrival, and to no
// newcomer.
func TestPermitsFirstComeFirstServed(t *testing.T) {
	SetHandoff(0)
	defer SetHandoff(DefaultHandoff)
	const waiters = 9
	for _, releases := range [][]uint32{{1, 1, 1, 1, 1, 1, 1, 1, 1}, {3, 1, 5}} {
		var s Semaphore
		order := make(chan int, waiters)
		for i := range waiters {
			go func() {
				if waitAsAThread(&s, core.Forever) == nil {
					order <- i
				}
			}()
			waittest.Eventually(t, "the waiter sleeps", func() bool {
				return core.Asleep(s.word()) == i+1
			})
		}
		first := 0
		for _, n := range releases {
			s.Release(n)
			if s.TryAcquire() {
				t.Errorf("a newcomer took one of %d permits for which others had come before", n)
			}
			var served, want []int
			for i := range int(n) {
				served = append(served, <-order)
				want = append(want, first+i)
			}
			first += int(n)
			// Waiters of one release may report in any order.
			if slices.Sort(served); !slices.Equal(served, want) {
				t.Errorf("a release of %d went to %v, want %v", n, served, want)
			}
		}
	}
}

func TestAcquireOfAnEndedContext(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	s := NewSemaphore(1)
	b := NewBoundedSemaphore(1)
	for name, acquire := range map[string]func(context.Context) error{
		"Semaphore":        s.Acquire,
		"BoundedSemaphore": b.Acquire,
	} {
		if err := acquire(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Permits() != 1 || b.Permits() != 1 {
		t.Errorf("%d and %d permits are left", s.Permits(), b.Permits())
	}
}

func TestAcquireUntilTheContextEnds(t *testing.T) {
	var s Semaphore
	defer leavesNothing(t, s.word())()
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	for range 3 { // the first sleeps on the word, the others wait for their turns
		go func() { failed <- s.Acquire(ctx) }()
	}
	waittest.Eventually(t, "all wait", func() bool {
		return core.LineLength(s.word()) == 3 && core.Asleep(s.word()) == 1
	})
	cancel()
	for range 3 {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("Acquire: %v", err)
		}
	}
	if s.Release(1); !s.TryAcquire() {
		t.Error("a cancelled waiter has the permit")
	}
}

// A waiter may be cancelled at the moment a permit is released for it. It takes the permit, or the
// next does.
func TestCancelDoesNotLoseThePermit(t *testing.T) {
	for _, threshold := range []time.Duration{0, DefaultHandoff} {
		SetHandoff(threshold)
		defer SetHandoff(DefaultHandoff)
		var s Semaphore
		for range 700 {
			ctx, cancel := context.WithCancel(context.Background())
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { first <- s.Acquire(ctx) }()
			waittest.Eventually(t, "the first waits", func() bool {
				return core.LineLength(s.word()) == 1
			})
			go func() { second <- waitAsAThread(&s, core.DeadlineAfter(10*time.Second)) }()
			go cancel()
			s.Release(1)
			if <-first == nil {
				s.Release(1)
			}
			if err := <-second; err != nil {
				t.Fatalf("the second waiter sleeps on: %v, %d permits", err, s.Permits())
			}
			if s.Permits() != 0 {
				t.Fatalf("%d permits are left", s.Permits())
			}
		}
	}
}

// Many wait with contexts that end at any time. The permits taken and left are those released.
func TestPermitsOfCancelledWaitersAreExact(t *testing.T) {
	const goroutines, rounds = 12, 1000
	for _, threshold := range []time.Duration{0, DefaultHandoff} {
		SetHandoff(threshold)
		defer SetHandoff(DefaultHandoff)
		var s Semaphore
		defer leavesNothing(t, s.word())()
		var released, taken atomic.Uint32
		waittest.Concurrently(goroutines, func(i int) {
			for round := range rounds {
				if i%3 == 0 {
					n := uint32(round % 4)
					s.Release(n)
					released.Add(n)
				} else {
					limit := time.Duration((i*round)%97) * time.Microsecond
					ctx, cancel := context.WithTimeout(context.Background(), limit)
					if s.Acquire(ctx) == nil {
						taken.Add(1)
					}
					cancel()
				}
			}
		})
		got, want := s.Permits(), released.Load()-taken.Load()
		if got != want || taken.Load() == 0 {
			t.Errorf("%d permits are left of %d, of which %d were taken",
				got, released.Load(), taken.Load())
		}
		for s.Permits() > 0 {
			if !s.AcquireTimeout(10 * time.Second) {
				t.Fatalf("a permit cannot be taken, there are %d", s.Permits())
			}
		}
	}
}

func TestBoundedSemaphore(t *testing.T) {
	s := NewBoundedSemaphore(2)
	if s.Bound() != 2 || s.Permits() != 2 {
		t.Errorf("%d permits of %d", s.Permits(), s.Bound())
	}
	for _, n := range []uint32{1, 2, MaxPermits} {
		if s.TryRelease(n) || s.Permits() != 2 {
			t.Errorf("TryRelease(%d) adds permits, or leaves %d", n, s.Permits())
		}
		if !panics(func() { s.Release(n) }) || s.Permits() != 2 {
			t.Errorf("Release(%d) does not panic, or leaves %d permits", n, s.Permits())
		}
	}
	if !s.TryAcquire() || !s.AcquireTimeout(time.Second) || s.TryAcquire() || s.Permits() != 0 {
		t.Errorf("%d permits are left after two were taken", s.Permits())
	}
	if s.TryRelease(3) || s.Permits() != 0 {
		t.Errorf("TryRelease(3) adds permits, or leaves %d", s.Permits())
	}
	if s.Release(1); !s.TryRelease(1) || s.Permits() != 2 {
		t.Errorf("%d permits after two were released", s.Permits())
	}
}

// Some release more than they have taken. There are never more permits than the bound, and no
// release or acquire is lost.
func TestBoundIsExactUnderStress(t *testing.T) {
	const bound, goroutines, rounds = 4, 16, 2000
	s := NewBoundedSemaphore(bound)
	var released, taken, tooMany atomic.Int64
	waittest.Concurrently(goroutines, func(i int) {
		for round := range rounds {
			if s.Permits() > bound {
				tooMany.Add(1)
			}
			if i%4 != 0 && takeSomehow(&s.semaphore, (i+round)%3) {
				taken.Add(1)
			}
			if round%5 == 0 {
				runtime.Gosched()
			}
			n := uint32(1 + (i+round)%3)
			if s.TryRelease(n) {
				released.Add(int64(n))
			}
		}
	})
	want := bound - taken.Load() + released.Load()
	if int64(s.Permits()) != want || tooMany.Load() != 0 {
		t.Errorf("%d permits, want %d; %d times there were too many",
			s.Permits(), want, tooMany.Load())
	}
	if taken.Load() == 0 || released.Load() == 0 {
		t.Errorf("%d were taken, %d released", taken.Load(), released.Load())
	}
}
