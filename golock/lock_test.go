package golock

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/waittest"
)

func TestZeroValueIsFree(t *testing.T) {
	var l Lock
	if size := unsafe.Sizeof(l); size != 4 {
		t.Errorf("a Lock has %d bytes, want 4", size)
	}
	if l.Locked() {
		t.Error("a new lock is locked")
	}
	l.Lock()
	if !l.Locked() || l.TryLock() {
		t.Error("a held lock is not locked")
	}
	l.Unlock()
	if l.word != 0 {
		t.Errorf("word is %#x after an uncontended pair, want 0", l.word)
	}
}

func TestUnlockOfUnlockedLock(t *testing.T) {
	var l Lock
	if err := (PythonLock{&l}).Release(); !errors.Is(err, ErrUnlocked) {
		t.Errorf("Release: %v, want ErrUnlocked", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Unlock did not panic")
		}
		if l.word != 0 {
			t.Errorf("word is %#x after the panic, want 0", l.word)
		}
	}()
	l.Unlock()
}

func TestAcquireArguments(t *testing.T) {
	for _, c := range []struct {
		blocking bool
		timeout  float64
		want     error
	}{
		{true, -1, nil},
		{false, -1, nil},
		{true, 0, nil},
		{true, 9223372036, nil}, // threading.TIMEOUT_MAX
		{true, -0.9999999999, nil},
		{false, 1, ErrNonBlockingTimeout},
		{false, 0, ErrNonBlockingTimeout},
		{true, -2, ErrNegativeTimeout},
		{true, math.NaN(), ErrNaNTimeout},
		{true, math.Inf(1), ErrTimeoutTooLarge},
		{true, math.Inf(-1), ErrTimeoutTooLarge},
		{true, 1e300, ErrTimeoutTooLarge},
	} {
		var l Lock
		taken, err := PythonLock{&l}.Acquire(c.blocking, c.timeout)
		if !errors.Is(err, c.want) || taken != (c.want == nil) || l.Locked() != taken {
			t.Errorf("Acquire(%v, %v) = %v, %v; want error %v",
				c.blocking, c.timeout, taken, err, c.want)
		}
	}
}

func asleep(l *Lock) bool {
	return atomic.LoadUint32(&l.word)&(core.Held|core.Waiters) == core.Held|core.Waiters
}

func TestTimeoutOnHeldLock(t *testing.T) {
	var l Lock
	l.Lock()
	for _, d := range []time.Duration{-1, 0, 1, time.Microsecond, 3 * time.Millisecond} {
		begin := time.Now()
		if l.LockTimeout(d) {
			t.Fatalf("LockTimeout(%v) took a held lock", d)
		}
		if waited := time.Since(begin); waited < d {
			t.Errorf("LockTimeout(%v) gave up after %v", d, waited)
		}
	}
	l.Unlock()
	if !l.TryLock() {
		t.Errorf("word is %#x: the lock is not free after the time-outs", l.word)
	}
}

func TestWaiterGetsTheLock(t *testing.T) {
	var l Lock
	l.Lock()
	done := make(chan struct{})
	go func() { l.Lock(); close(done) }()
	waittest.Eventually(t, "the waiter sleeps", func() bool { return asleep(&l) })
	l.Unlock()
	<-done
	l.Unlock()
	if l.word != 0 {
		t.Errorf("word is %#x after all is over, want 0", l.word)
	}
}

func TestLockContext(t *testing.T) {
	var l Lock
	ended, end := context.WithCancel(context.Background())
	end()
	if err := l.LockContext(ended); !errors.Is(err, context.Canceled) || l.Locked() {
		t.Errorf("LockContext of an ended context: %v, locked %v", err, l.Locked())
	}

	l.Lock()
	defer leavesNothing(t, &l.word)()
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	// The first in line sleeps on the word, the second waits for its turn. The end of the context
	// wakes both.
	for range 2 {
		go func() { failed <- l.LockContext(ctx) }()
	}
	waittest.Eventually(t, "a waiter sleeps", func() bool { return asleep(&l) })
	cancel()
	for range 2 {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("LockContext: %v, want context.Canceled", err)
		}
	}
	l.Unlock()
	if l.Locked() {
		t.Error("a cancelled waiter holds the lock")
	}
}

// A release may have just woken the waiter that is cancelled. The wake must not be lost.
func TestCancelDoesNotLoseTheWake(t *testing.T) {
	var l Lock
	for range 2000 {
		l.Lock()
		ctx, cancel := context.WithCancel(context.Background())
		first, second := make(chan error, 1), make(chan struct{})
		go func() { first <- l.LockContext(ctx) }()
		waittest.Eventually(t, "the first sleeps", func() bool { return asleep(&l) })
		go func() { l.Lock(); defer l.Unlock(); close(second) }()
		go cancel()
		l.Unlock()
		if <-first == nil {
			l.Unlock()
		}
		select {
		case <-second:
		case <-time.After(10 * time.Second):
			t.Fatalf("the second waiter sleeps on, word %#x", atomic.LoadUint32(&l.word))
		}
	}
}

// A goroutine may wait on behalf of Python code that has the GIL, while the claimant waits for the
// GIL. It takes the claimant's turn after a while, even if the lock was held when it went to sleep.
func TestGoroutineDoesNotWaitForAnAbsentClaimant(t *testing.T) {
	var l Lock
	l.Lock()
	done := make(chan bool)
	go func() { done <- l.LockTimeout(time.Minute) }()
	waittest.Eventually(t, "the waiter sleeps", func() bool { return asleep(&l) })
	atomic.StoreUint32(&l.word, core.Handoff|core.Self())
	if !<-done {
		t.Error("it did not take the lock")
	}
	l.Unlock()
}

// Many goroutines take the lock in every way: never two hold it, and no wake is lost.
func TestMutualExclusion(t *testing.T) {
	for _, threshold := range []time.Duration{0, DefaultHandoff} {
		t.Run(threshold.String(), func(t *testing.T) {
			SetHandoff(threshold)
			defer SetHandoff(DefaultHandoff)
			exclude(t, 16, 3000)
		})
	}
}

func exclude(t *testing.T, goroutines, rounds int) {
	var l Lock
	count := 0 // guarded by l
	taken := make([]int, goroutines)
	var group sync.WaitGroup
	for i := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := range rounds {
				if !acquireSomehow(&l, i+round) {
					continue
				}
				count++
				taken[i]++
				l.Unlock()
			}
		}()
	}
	group.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if count != sum || sum == 0 {
		t.Errorf("the counter says %d, the lock was taken %d times", count, sum)
	}
	if l.Locked() {
		t.Errorf("word is %#x: the lock is not free in the end", l.word)
	}
}

func acquireSomehow(l *Lock, way int) bool {
	switch way % 5 {
	case 0:
		return l.TryLock()
	case 1:
		return l.LockTimeout(time.Duration(way%50) * time.Microsecond)
	case 2:
		limit := time.Duration(way%50) * time.Microsecond
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return l.LockContext(ctx) == nil
	default:
		l.Lock()
		return true
	}
}

// Goroutines in the line get the lock in the order of their arrival.
func TestLineIsServedInOrder(t *testing.T) {
	const waiters = 8
	var l Lock
	l.Lock()
	order := make(chan int, waiters)
	for i := range waiters {
		before := core.LineLength(&l.word)
		go func() {
			l.Lock()
			order <- i
			l.Unlock()
		}()
		waittest.Eventually(t, "the waiter stands in line", func() bool {
			return core.LineLength(&l.word) == before+1 && asleep(&l)
		})
	}
	l.Unlock()
	for i := range waiters {
		if got := <-order; got != i {
			t.Errorf("waiter %d came as number %d", got, i)
		}
	}
}

// With a threshold of 0 every release is a hand-off. Waiters that sleep on the word themselves, as
// Python threads do, get the lock in the order of their arrival, and one that comes again is the
// last.
func TestFirstComeFirstServed(t *testing.T) {
	SetHandoff(0)
	defer SetHandoff(DefaultHandoff)
	const waiters, rounds = 6, 10
	var l Lock
	l.Lock()
	var order []int // guarded by l
	var group sync.WaitGroup
	for i := range waiters {
		group.Add(1)
		go func() {
			defer group.Done()
			for range rounds {
				if err := l.cell().WaitAsThread(context.Background(), core.Forever); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				l.Unlock()
			}
		}()
		waittest.Eventually(t, "the waiter sleeps", func() bool {
			return core.Asleep(&l.word) == i+1
		})
	}
	l.Unlock()
	group.Wait()
	if first := order[:waiters]; !slices.IsSorted(first) {
		t.Errorf("the first turns went to %v", first)
	}
}

// With a threshold of 0 a goroutine that comes again does not overtake the line, even while the
// lock is free and the next of the line has not taken it yet.
func TestNobodyOvertakesTheLine(t *testing.T) {
	SetHandoff(0)
	defer SetHandoff(DefaultHandoff)
	const waiters, rounds = 6, 200
	var l Lock
	s := NewSemaphore(1)
	for name, c := range map[string]struct {
		lock, unlock func()
		try          func() bool
		word         *uint32
	}{
		"Lock": {l.Lock, l.Unlock, l.TryLock, &l.word},
		"Semaphore": {
			func() { _ = s.Acquire(context.Background()) },
			func() { s.Release(1) },
			s.TryAcquire,
			s.word(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range rounds {
				c.lock()
				served := 0 // guarded by the lock
				ended := waittest.InBackground(waiters, func(int) {
					c.lock()
					served++
					c.unlock()
				})
				waittest.Eventually(t, "all stand in line", func() bool {
					return core.LineLength(c.word) == waiters
				})
				c.unlock()
				if round%2 == 0 {
					c.lock()
				} else {
					for !c.try() {
						runtime.Gosched()
					}
				}
				if served != waiters {
					t.Fatalf("it is taken before %d of the %d in the line", waiters-served, waiters)
				}
				c.unlock()
				waittest.Within(t, "all end", ended)
			}
		})
	}
}

// A waiter gets the lock, after the threshold, from a goroutine that takes it again and again.
func TestBargersDoNotStarveAWaiter(t *testing.T) {
	var l Lock
	stop := make(chan struct{})
	var barger sync.WaitGroup
	barger.Add(1)
	turns := 0 // guarded by l
	go func() {
		defer barger.Done()
		for {
			select {
			case <-stop:
				return
			default:
				l.Lock()
				turns++
				l.Unlock()
			}
		}
	}()
	for range 100 {
		if !l.LockTimeout(10 * time.Second) {
			t.Fatal("starved")
		}
		l.Unlock()
	}
	close(stop)
	barger.Wait()
}
