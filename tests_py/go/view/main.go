// Command view is a library that uses Python's events and semaphores from a Go runtime other than
// that of golock's core. test_view_from_go.py builds and loads it.
package main

import "C"

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
)

//export EventSet
func EventSet(event uintptr) { eventAt(event).Set() }

//export EventClear
func EventClear(event uintptr) { eventAt(event).Clear() }

//export EventIsSet
func EventIsSet(event uintptr) bool { return eventAt(event).IsSet() }

// EventWait makes goroutines wait, for at most timeout seconds, and returns how many found the
// event set.
//
//export EventWait
func EventWait(event uintptr, goroutines C.int, timeout float64) C.int {
	limit := time.Duration(timeout * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return count(goroutines, func() bool { return eventAt(event).Wait(ctx) == nil })
}

//export SemaphoreRelease
func SemaphoreRelease(semaphore uintptr, n C.uint) {
	semaphoreAt(semaphore).Release(uint32(n))
}

//export SemaphorePermits
func SemaphorePermits(semaphore uintptr) C.uint {
	return C.uint(semaphoreAt(semaphore).Permits())
}

// SemaphoreAcquire makes goroutines wait for a permit, for at most timeout seconds, and returns how
// many took one.
//
//export SemaphoreAcquire
func SemaphoreAcquire(semaphore uintptr, goroutines C.int, timeout float64) C.int {
	return count(goroutines, func() bool {
		return semaphoreAt(semaphore).AcquireTimeout(time.Duration(timeout * float64(time.Second)))
	})
}

// PassOn takes a permit of one semaphore and releases one to the other, the given number of times.
//
//export PassOn
func PassOn(from, to uintptr, times C.int) {
	for range times {
		if semaphoreAt(from).Acquire(context.Background()) == nil {
			semaphoreAt(to).Release(1)
		}
	}
}

// CountExclusively makes goroutines add 1 to a number, each the given number of times, while they
// have the permit.
//
//export CountExclusively
func CountExclusively(semaphore uintptr, number unsafe.Pointer, goroutines, times C.int) {
	shared := semaphoreAt(semaphore)
	count(goroutines, func() bool {
		for range times {
			if shared.Acquire(context.Background()) == nil {
				*(*int64)(number)++
				shared.Release(1)
			}
		}
		return true
	})
}

// Waiting counts the goroutines that stand in a line or sleep on a word.
//
//export Waiting
func Waiting() C.int {
	buffer := make([]byte, 1<<20)
	waiting := C.int(0)
	for _, stack := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		state, frames, _ := strings.Cut(stack, "\n")
		function, _, _ := strings.Cut(frames, "\n")
		inLine := strings.Contains(state, "[select") &&
			strings.Contains(function, "core.(*place).wait(")
		if inLine || strings.Contains(frames, "core.park(") {
			waiting++
		}
	}
	return waiting
}

// count calls run in the given number of goroutines at once, and returns how many returned true.
func count(goroutines C.int, run func() bool) C.int {
	var group sync.WaitGroup
	var answered atomic.Int32
	for range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			if run() {
				answered.Add(1)
			}
		}()
	}
	group.Wait()
	return C.int(answered.Load())
}

func eventAt(address uintptr) *golock.Event {
	event, err := golock.EventAt(address)
	return must(event, err)
}

func semaphoreAt(address uintptr) *golock.Semaphore {
	semaphore, err := golock.SemaphoreAt(address)
	return must(semaphore, err)
}

func must[T any](object T, err error) T {
	if err != nil {
		panic(err)
	}
	return object
}

func main() {}
