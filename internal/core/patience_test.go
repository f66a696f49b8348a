package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// Goroutines look again when their patience ends, which would hide a lost wake-up. Here they have
// no patience. Goroutines whose contexts end at any moment, and waiters outside a line, like
// threads, leave nobody asleep.
func TestNoWakeUpIsLostWithoutPatience(t *testing.T) {
	defer func(patience int64) { goroutinePatience = patience }(goroutinePatience)
	goroutinePatience = 0
	defer SetHandoff(DefaultHandoff)
	for _, threshold := range []time.Duration{0, 50 * time.Microsecond, DefaultHandoff} {
		SetHandoff(threshold)
		memory := MemoryOf(1)
		semaphore := SemaphoreCell((*uint32)(unsafe.Pointer(&memory)))
		cells := map[string]Cell{"lock": LockCell(new(uint32)), "semaphore": semaphore}
		for name, c := range cells {
			t.Run(fmt.Sprintf("%s, %v", name, threshold), func(t *testing.T) { storm(t, c) })
		}
	}
}

func storm(t *testing.T, c Cell) {
	const goroutines, threads, rounds = 24, 2, 300
	inside := 0 // guarded by c
	work := func() {
		inside++
		if inside != 1 {
			t.Errorf("%d are inside", inside)
		}
		if rand.N(16) == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		inside--
		c.Release(1, 1, ShouldCheckClock())
	}
	var group sync.WaitGroup
	for range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for range rounds {
				limit := rand.N(200 * time.Microsecond)
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				if c.TryAcquire() || c.Wait(ctx, Forever) == nil {
					work()
				}
				cancel()
			}
		}()
	}
	for range threads {
		group.Add(1)
		go func() {
			defer group.Done()
			for range rounds {
				w := NewWaiter(c.word, Forever)
				w.semaphore = c.semaphore
				if w.wait(context.Background()) == nil {
					work()
				}
			}
		}()
	}
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		t.Fatalf("some are left asleep\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	if inLine(c.word) {
		t.Error("somebody is left in the line")
	}
}
