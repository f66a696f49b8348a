package golock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/waittest"
)

// waitAt makes a goroutine wait, and returns a channel that receives what Wait returned, once the
// goroutine waits.
func waitAt(t *testing.T, c *Condition, ctx context.Context) <-chan error {
	t.Helper()
	before := c.Waiting()
	answer := make(chan error, 1)
	go func() {
		c.L.Lock()
		defer c.L.Unlock()
		answer <- c.Wait(ctx)
	}()
	waittest.Eventually(t, "it waits", func() bool { return c.Waiting() == before+1 })
	return answer
}

func answered(t *testing.T, answer <-chan error) error {
	t.Helper()
	select {
	case err := <-answer:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("a waiter has not gone on within 10 s")
		return nil
	}
}

// Notify(n) wakes the first n waiters and no others.
func TestNotifyInTheOrderOfArrival(t *testing.T) {
	var readers sync.RWMutex
	for name, locker := range map[string]sync.Locker{
		"Lock":       new(Lock),
		"Mutex":      new(sync.Mutex),
		"a reader's": readers.RLocker(),
	} {
		t.Run(name, func(t *testing.T) {
			const waiters = 8
			c := Condition{L: locker}
			var answers []<-chan error
			for range waiters {
				answers = append(answers, waitAt(t, &c, context.Background()))
			}
			for _, n := range []int{1, 2, 0, -1, 3} {
				c.L.Lock()
				c.Notify(n)
				c.L.Unlock()
				for range n {
					if err := answered(t, answers[0]); err != nil {
						t.Error(err)
					}
					answers = answers[1:]
				}
				if c.Waiting() != len(answers) {
					t.Fatalf("after Notify(%d) %d wait, want %d", n, c.Waiting(), len(answers))
				}
				for i, answer := range answers {
					if len(answer) != 0 {
						t.Errorf("Notify(%d) woke number %d after the last", n, i)
					}
				}
			}
			c.NotifyAll()
			for _, answer := range answers {
				if err := answered(t, answer); err != nil {
					t.Error(err)
				}
			}
			c.Notify(1) // for nobody, and not for those who come later
			late := waitAt(t, &c, context.Background())
			c.Notify(int(^uint(0) >> 1))
			if err := answered(t, late); err != nil || c.word != 0 {
				t.Errorf("%v, the word is %#x", err, c.word)
			}
		})
	}
}

// Wait returns with the lock held, with or without an error.
func TestWaitReturnsWithTheLock(t *testing.T) {
	var l Lock
	c := Condition{L: &l}
	ended, end := context.WithCancel(context.Background())
	end()
	l.Lock()
	if err := c.Wait(ended); !errors.Is(err, context.Canceled) || !l.Locked() || c.word != 0 {
		t.Errorf("Wait with an ended context: %v, locked %v, word %#x", err, l.Locked(), c.word)
	}
	l.Unlock()

	const goroutines, rounds = 8, 500
	inside := 0 // guarded by l
	ended2 := waittest.InBackground(goroutines, func(i int) {
		for round := range rounds {
			limit := time.Duration(round%60) * time.Microsecond
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			l.Lock()
			c.Notify(1)
			_ = c.Wait(ctx)
			inside++
			l.Unlock()
			cancel()
		}
	})
	waittest.Within(t, "all have waited", ended2)
	if inside != goroutines*rounds || c.word != 0 || l.Locked() {
		t.Errorf("%d of %d waits, the word is %#x, locked %v",
			inside, goroutines*rounds, c.word, l.Locked())
	}
}

// A waiter whose context has ended, but which does not have the lock yet, takes a notification.
func TestNotificationOfACancelledWaiter(t *testing.T) {
	var l Lock
	c := Condition{L: &l}
	ctx, cancel := context.WithCancel(context.Background())
	first := waitAt(t, &c, ctx)
	second := waitAt(t, &c, context.Background())
	l.Lock()
	cancel()
	waittest.Eventually(t, "it wants the lock again", func() bool {
		return core.LineLength(&l.word) == 1
	})
	if c.Waiting() != 2 {
		t.Errorf("%d wait, want 2", c.Waiting())
	}
	c.Notify(1)
	l.Unlock()
	if err := answered(t, first); err != nil {
		t.Errorf("the notification was lost: %v", err)
	}
	if c.Waiting() != 1 {
		t.Errorf("%d wait, want 1", c.Waiting())
	}
	c.Notify(1)
	if err := answered(t, second); err != nil {
		t.Error(err)
	}
}

// As many calls of Wait return nil as were notified, though their contexts end at the same moment.
func TestNoNotificationIsLost(t *testing.T) {
	const waiters, rounds = 8, 400
	var l Lock
	c := Condition{L: &l}
	cancelled := 0
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		var woken, gaveUp atomic.Int32
		ended := waittest.InBackground(waiters, func(i int) {
			l.Lock()
			defer l.Unlock()
			own := ctx
			if i%4 == 3 {
				own = context.Background()
			}
			switch err := c.Wait(own); {
			case err == nil:
				woken.Add(1)
			case errors.Is(err, context.Canceled) && i%4 != 3:
				gaveUp.Add(1)
			default:
				t.Error(err)
			}
		})
		waittest.Eventually(t, "all wait", func() bool { return c.Waiting() == waiters })
		go cancel()
		notified := uint32(0)
		for range 1 + round%waiters {
			notified += core.Notify(&c.word, 1, core.Notified)
		}
		waittest.Eventually(t, "those that were cancelled gave up", func() bool {
			ended := int(woken.Load() + gaveUp.Load())
			return ended+c.Waiting() == waiters && c.Waiting() <= waiters/4
		})
		notified += core.Notify(&c.word, core.Everyone, core.Notified)
		waittest.Within(t, "all go on", ended)
		if uint32(woken.Load()) != notified {
			t.Fatalf("%d were notified, %d answer so", notified, woken.Load())
		}
		cancelled += int(gaveUp.Load())
		if c.word != 0 {
			t.Fatalf("the word is %#x in the end", c.word)
		}
	}
	if cancelled == 0 || cancelled == rounds*waiters {
		t.Errorf("%d of %d gave up", cancelled, rounds*waiters)
	}
}

// Each item of a queue is taken once, though consumers give up and come again and each notification
// wakes one.
func TestQueueOnACondition(t *testing.T) {
	const producers, consumers, items = 3, 6, 1500
	var l Lock
	c := Condition{L: &l}
	var queue, taken []int // guarded by l
	closed := false
	consumed := waittest.InBackground(consumers, func(i int) {
		for round := 0; ; round++ {
			ctx, cancel := context.Background(), context.CancelFunc(func() {})
			if i%2 == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(round%50)*time.Microsecond)
			}
			l.Lock()
			for len(queue) == 0 && !closed && c.Wait(ctx) == nil {
			}
			if len(queue) > 0 {
				taken = append(taken, queue[0])
				queue = queue[1:]
			}
			end := closed && len(queue) == 0
			l.Unlock()
			cancel()
			if end {
				return
			}
		}
	})
	waittest.Concurrently(producers, func(i int) {
		for n := i; n < items; n += producers {
			l.Lock()
			queue = append(queue, n)
			c.Notify(1)
			l.Unlock()
		}
	})
	l.Lock()
	closed = true
	c.NotifyAll()
	l.Unlock()
	waittest.Within(t, "all is consumed", consumed)
	slices.Sort(taken)
	for i, item := range taken {
		if i != item {
			t.Fatalf("item %d stands in place %d", item, i)
		}
	}
	if len(taken) != items || c.word != 0 {
		t.Errorf("%d of %d were taken, the word is %#x", len(taken), items, c.word)
	}
}

// Wait without the lock panics, as Unlock does, and leaves no listener that would take a
// notification.
func TestWaitWithoutTheLock(t *testing.T) {
	c := Condition{L: new(Lock)}
	func() {
		defer func() {
			if recover() == nil || c.word != 0 {
				t.Errorf("Wait did not panic, or the word is %#x", c.word)
			}
		}()
		_ = c.Wait(context.Background())
	}()
	waiter := waitAt(t, &c, context.Background())
	c.Notify(1)
	if err := answered(t, waiter); err != nil {
		t.Error(err)
	}
}
