package tests_go

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
)

// Waiters are cancelled at any moment while others hand over. Never do two hold the lock or permit,
// no cancelled waiter does, and no waiter is left asleep.
func TestCancelledWaitersLoseNothing(t *testing.T) {
	const goroutines, inThreads, rounds = 48, 3, 400
	for _, threshold := range []time.Duration{0, 20 * time.Microsecond, golock.DefaultHandoff} {
		for name, semaphore := range map[string]bool{"Lock": false, "Semaphore": true} {
			t.Run(name+" "+threshold.String(), func(t *testing.T) {
				golock.SetHandoff(threshold)
				defer golock.SetHandoff(golock.DefaultHandoff)
				var lock golock.Lock
				permit := golock.NewSemaphore(1)
				acquire, release := lock.LockContext, lock.Unlock
				word := (*uint32)(unsafe.Pointer(&lock))
				if semaphore {
					acquire, release = permit.Acquire, func() { permit.Release(1) }
					word = (*uint32)(unsafe.Pointer(permit))
				}

				count := 0 // guarded by the lock or the permit
				var taken, cancelled atomic.Int64
				var group sync.WaitGroup
				for range goroutines {
					group.Add(1)
					go func() {
						defer group.Done()
						for range rounds {
							ctx, cancel := context.WithCancel(context.Background())
							timer := time.AfterFunc(rand.N(200*time.Microsecond), cancel)
							switch err := acquire(ctx); {
							case err == nil:
								count++
								taken.Add(1)
								if rand.N(64) == 0 {
									time.Sleep(10 * time.Microsecond) // so that a line forms
								}
								release()
							case errors.Is(err, context.Canceled):
								cancelled.Add(1)
							default:
								t.Error(err)
							}
							timer.Stop()
							cancel()
						}
					}()
				}
				for range inThreads {
					if !threadsCanWait {
						break
					}
					group.Add(1)
					go func() {
						defer group.Done()
						for range rounds {
							<-waitInThread(word, semaphore).done
							count++
							taken.Add(1)
							release()
						}
					}()
				}
				ended := make(chan struct{})
				go func() { group.Wait(); close(ended) }()
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatalf("some are left asleep; %d taken, %d cancelled",
						taken.Load(), cancelled.Load())
				}
				if int64(count) != taken.Load() || cancelled.Load() == 0 {
					t.Errorf("the counter says %d, it was taken %d times; %d were cancelled",
						count, taken.Load(), cancelled.Load())
				}
				if lock.Locked() || permit.Permits() != 1 {
					t.Errorf("in the end the lock is taken: %v; %d permits",
						lock.Locked(), permit.Permits())
				}
			})
		}
	}
}
