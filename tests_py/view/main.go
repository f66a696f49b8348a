// Command view is a library that uses Python's events and semaphores from Go, in a Go runtime that is not
// the one of golock's core. test_view_from_go.py builds and loads it.
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
func EventSet(event unsafe.Pointer) { golock.EventAt(event).Set() }

//export EventClear
func EventClear(event unsafe.Pointer) { golock.EventAt(event).Clear() }

//export EventIsSet
func EventIsSet(event unsafe.Pointer) bool { return golock.EventAt(event).IsSet() }

// EventWait lets so many goroutines wait, for so many seconds at most, and returns how many found it set.
//
//export EventWait
func EventWait(event unsafe.Pointer, goroutines C.int, timeout float64) C.int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(timeout*float64(time.Second)))
	defer cancel()
	return count(goroutines, func() bool { return golock.EventAt(event).Wait(ctx) == nil })
}

//export SemaphoreRelease
func SemaphoreRelease(semaphore unsafe.Pointer, n C.uint) {
	golock.SemaphoreAt(semaphore).Release(uint32(n))
}

//export SemaphorePermits
func SemaphorePermits(semaphore unsafe.Pointer) C.uint {
	return C.uint(golock.SemaphoreAt(semaphore).Permits())
}

// SemaphoreAcquire lets so many goroutines wait for a permit, for so many seconds at most, and returns how
// many took one.
//
//export SemaphoreAcquire
func SemaphoreAcquire(semaphore unsafe.Pointer, goroutines C.int, timeout float64) C.int {
	return count(goroutines, func() bool {
		return golock.SemaphoreAt(semaphore).AcquireTimeout(time.Duration(timeout * float64(time.Second)))
	})
}

// PassOn takes a permit of one semaphore and releases one to the other, so many times.
//
//export PassOn
func PassOn(from, to unsafe.Pointer, times C.int) {
	for range times {
		if golock.SemaphoreAt(from).Acquire(context.Background()) == nil {
			golock.SemaphoreAt(to).Release(1)
		}
	}
}

// CountExclusively lets so many goroutines add 1 to a number so many times each, while they have the permit.
//
//export CountExclusively
func CountExclusively(semaphore, number unsafe.Pointer, goroutines, times C.int) {
	shared := golock.SemaphoreAt(semaphore)
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
			(strings.Contains(function, "golock.(*Event).Wait(") || strings.Contains(function, "golock.cell.wait("))
		if inLine || strings.Contains(frames, "golock.park(") {
			waiting++
		}
	}
	return waiting
}

// count runs so many goroutines at once, and returns how many answered true.
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

func main() {}
