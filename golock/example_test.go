package golock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golock/golock/golock"
)

func ExampleLock() {
	var lock golock.Lock
	lock.Lock()

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := lock.LockContext(ctx); err != nil {
		fmt.Println(err)
	}
	lock.Unlock()
	// Output: context deadline exceeded
}

func ExamplePythonLock() {
	lock := golock.PythonLock{Lock: new(golock.Lock)}
	fmt.Println(lock.Acquire(true, -1))
	fmt.Println(lock.Acquire(true, 0.001))
	fmt.Println(lock.Acquire(false, 1))
	fmt.Println(lock.Release(), lock.Release())
	// Output:
	// true <nil>
	// false <nil>
	// false can't specify a timeout for a non-blocking call
	// <nil> release unlocked lock
}

// At most two requests are served at a time.
func ExampleSemaphore() {
	ctx := context.Background()
	slots := golock.NewSemaphore(2)
	var group sync.WaitGroup
	for range 5 {
		if err := slots.Acquire(ctx); err != nil {
			return
		}
		group.Add(1)
		go func() {
			defer group.Done()
			defer slots.Release(1)
			// serve a request
		}()
	}
	group.Wait()
	fmt.Println(slots.Permits(), "slots are free")
	// Output: 2 slots are free
}

func ExampleBoundedSemaphore() {
	slots := golock.NewBoundedSemaphore(1)
	fmt.Println(slots.TryAcquire(), slots.TryAcquire())
	fmt.Println(slots.TryRelease(1), slots.TryRelease(1))
	// Output:
	// true false
	// true false
}

func ExampleEvent() {
	var ready golock.Event
	address := ""
	go func() {
		address = "localhost:8000"
		ready.Set()
	}()
	if err := ready.Wait(context.Background()); err != nil {
		return
	}
	fmt.Println("listening on", address)
	// Output: listening on localhost:8000
}

func ExampleCondition() {
	var lock golock.Lock
	notEmpty := golock.Condition{L: &lock}
	var queue []string // guarded by lock

	go func() {
		lock.Lock()
		defer lock.Unlock()
		queue = append(queue, "an item")
		notEmpty.Notify(1)
	}()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lock.Lock()
	defer lock.Unlock()
	for len(queue) == 0 {
		if err := notEmpty.Wait(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(queue[0])
	// Output: an item
}

// Four goroutines compute in steps. None begins a step before all have finished the one before.
func ExampleBarrier() {
	const parties, steps = 4, 2
	step := 0
	barrier := golock.NewBarrier(parties, func() {
		step++
		fmt.Println("step", step, "is done")
	})
	var group sync.WaitGroup
	for range parties {
		group.Add(1)
		go func() {
			defer group.Done()
			for range steps {
				// compute
				if _, err := barrier.Wait(context.Background()); err != nil {
					return
				}
			}
		}()
	}
	group.Wait()
	// Output:
	// step 1 is done
	// step 2 is done
}

// A goroutine that gives up breaks the barrier for the others, which would wait in vain.
func ExampleBarrier_Wait() {
	barrier := golock.NewBarrier(2, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := barrier.Wait(ctx)
	fmt.Println(err)
	_, err = barrier.Wait(context.Background())
	fmt.Println(errors.Is(err, golock.ErrBrokenBarrier))
	// Output:
	// context deadline exceeded
	// true
}
