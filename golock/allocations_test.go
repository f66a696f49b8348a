package golock

import (
	"testing"
	"unsafe"
)

// The collector is off where the core is a guest: what a Python thread calls must allocate nothing.
func TestWhatThreadsCallAllocatesNothing(t *testing.T) {
	defer SetHandoff(HandoffAfter())
	for _, threshold := range []int64{0, int64(DefaultHandoff)} {
		handoffAfter.Store(threshold)
		lock, semaphore := new(Lock), NewSemaphore(0)
		words := []struct {
			word      *uint32
			semaphore bool
		}{{&lock.word, false}, {(*uint32)(unsafe.Pointer(&semaphore.memory)), true}}
		for _, w := range words {
			step := func() {
				waiter := Waiter{word: w.word, semaphore: w.semaphore, deadline: Forever}
				waiter.Next(Entered)
				waiter.Stay()
				waiter.Next(Changed)
				waiter.Next(Woken)
				waiter.Next(Interrupted)
				late := Waiter{word: w.word, semaphore: w.semaphore, deadline: 1}
				late.Next(Entered)
			}
			if w.semaphore {
				step()
			} else {
				lock.TryLock()
			}
			if n := testing.AllocsPerRun(1000, func() {
				step()
				if w.semaphore {
					semaphore.ReleaseUpTo(1, 1)
					semaphore.TryAcquire()
				} else {
					_ = lock.Release()
					lock.TryLock()
				}
			}); n != 0 {
				t.Errorf("with a threshold of %d, semaphore: %v: %v allocations", threshold, w.semaphore, n)
			}
		}
	}
}
