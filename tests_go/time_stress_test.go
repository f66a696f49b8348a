package tests_go

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/golock/golock/golock"
)

// limits returns times from a nanosecond to a second, in steps of 1, 2 and 5.
func limits() []time.Duration {
	var all []time.Duration
	for unit := time.Nanosecond; unit <= time.Second; unit *= 10 {
		for _, factor := range []time.Duration{1, 2, 5} {
			if unit < time.Second || factor == 1 {
				all = append(all, factor*unit)
			}
		}
	}
	return all
}

func TestTimeoutsAreNeverEarly(t *testing.T) {
	var held golock.Lock
	held.Lock()
	within := func(wait func(context.Context) error) func(time.Duration) bool {
		return func(limit time.Duration) bool {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			err := wait(ctx)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			return err == nil
		}
	}
	var empty golock.Semaphore
	var unset golock.Event
	waits := map[string]func(time.Duration) bool{
		"LockTimeout":              held.LockTimeout,
		"LockContext":              within(held.LockContext),
		"Semaphore.AcquireTimeout": empty.AcquireTimeout,
		"Semaphore.Acquire":        within(empty.Acquire),
		"Event.Wait":               within(unset.Wait),
		"Condition.Wait": within(func(ctx context.Context) error {
			c := golock.Condition{L: new(golock.Lock)}
			c.L.Lock()
			defer c.L.Unlock()
			return c.Wait(ctx)
		}),
		"Barrier.Wait": within(func(ctx context.Context) error {
			_, err := golock.NewBarrier(2, nil).Wait(ctx)
			return err
		}),
	}
	var group sync.WaitGroup
	for name, wait := range waits {
		// One is first in the line for the word, the others are behind it.
		for range 3 {
			group.Add(1)
			go func() {
				defer group.Done()
				for _, limit := range limits() {
					begun := time.Now()
					if wait(limit) {
						t.Errorf("%s succeeded within its limit of %v", name, limit)
					}
					if waited := time.Since(begun); waited < limit {
						t.Errorf("%s: a limit of %v ended after %v", name, limit, waited)
					}
				}
			}()
		}
	}
	group.Wait()
}

func TestTimeoutsAreNeverEarlyUnderContention(t *testing.T) {
	var lock golock.Lock
	end := time.Now().Add(time.Second)
	for fighter := range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for taken := 0; time.Now().Before(end); {
				limit := []time.Duration{1, 1000, 100_000, 1_000_000}[(fighter+taken)%4]
				begun := time.Now()
				if lock.LockTimeout(limit) {
					taken++
					if taken%100 == 0 {
						time.Sleep(limit)
					}
					lock.Unlock()
				} else if waited := time.Since(begun); waited < limit {
					t.Errorf("a limit of %v ended after %v", limit, waited)
				}
			}
		})
	}
}
