package core

import (
	"testing"
	"unsafe"
)

// The garbage collector is off where the core is a guest, so the calls of Python threads must not
// allocate.
func TestWhatThreadsCallAllocatesNothing(t *testing.T) {
	defer SetHandoff(HandoffAfter())
	for _, threshold := range []int64{0, int64(DefaultHandoff)} {
		handoffAfter.Store(threshold)
		memory := MemoryOf(0)
		semaphore := SemaphoreCell((*uint32)(unsafe.Pointer(&memory)))
		for _, c := range []Cell{LockCell(new(uint32)), semaphore} {
			step := func() {
				waiter := Waiter{word: c.word, semaphore: c.semaphore, deadline: Forever}
				waiter.Next(Entered)
				waiter.Stay()
				waiter.Next(Changed)
				waiter.Next(Woken)
				waiter.Next(Interrupted)
				late := Waiter{word: c.word, semaphore: c.semaphore, deadline: 1}
				late.Next(Entered)
			}
			if c.semaphore {
				step()
			} else {
				c.TryAcquire()
			}
			if n := testing.AllocsPerRun(1000, func() {
				step()
				c.Release(1, 1, true)
				c.TryAcquire()
			}); n != 0 {
				t.Errorf("with a threshold of %d, semaphore: %v: %v allocations",
					threshold, c.semaphore, n)
			}
		}
	}
}
