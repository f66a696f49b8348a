// Command sight_peer is a library whose Go runtime is the core of golock in a Python program:
// test_sight_goroutines.py builds and loads it.
package main

import "C"

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/capi"
)

// Core returns the core for golock.use_core.
//
//export Core
func Core() uintptr { return capi.Core() }

// What Go has made, for the whole test.
var (
	lock      golock.Lock
	semaphore = golock.NewSemaphore(0)
	event     golock.Event
	condition = golock.Condition{L: new(golock.Lock)}
	barrier   = golock.NewBarrier(2, nil)
)

func at(address uintptr) *golock.Lock {
	if address == 0 {
		return &lock
	}
	l, err := golock.At(address)
	if err != nil {
		panic(err)
	}
	return l
}

// Lock takes the lock at the address, or Go's if that is 0, in the calling thread.
//
//export Lock
func Lock(address uintptr) { at(address).Lock() }

// TryLock takes the lock if it gets it within this time.
//
//export TryLock
func TryLock(address uintptr, seconds float64) bool {
	return at(address).LockTimeout(time.Duration(seconds * float64(time.Second)))
}

//export Unlock
func Unlock(address uintptr) { at(address).Unlock() }

// LockMany takes and releases many locks, and keeps them.
//
//export LockMany
func LockMany(n int) {
	many = make([]golock.Lock, n)
	for i := range many {
		if many[i].TryLock() {
			many[i].Unlock()
		}
	}
}

var many []golock.Lock

var ended sync.WaitGroup

func start(work func()) {
	ended.Add(1)
	go func() {
		defer ended.Done()
		work()
	}()
}

// HoldAndWait has a goroutine take the first lock, and returns. The goroutine then waits for the
// second one.
//
//export HoldAndWait
func HoldAndWait(first, second uintptr) {
	held := make(chan struct{})
	start(func() {
		holdAndWait(at(first), at(second), held)
	})
	<-held
}

func holdAndWait(first, second *golock.Lock, held chan<- struct{}) {
	first.Lock()
	defer first.Unlock()
	close(held)
	second.Lock()
	defer second.Unlock()
}

// WaitForAll has a goroutine wait for each thing that Go has made.
//
//export WaitForAll
func WaitForAll() {
	lock.Lock()
	ctx := context.Background()
	start(lock.Lock)
	start(func() { _ = semaphore.Acquire(ctx) })
	start(func() { _ = event.Wait(ctx) })
	start(func() {
		condition.L.Lock()
		_ = condition.Wait(ctx)
		condition.L.Unlock()
	})
	start(func() { _, _ = barrier.Wait(ctx) })
}

// EndAll lets them go on.
//
//export EndAll
func EndAll() {
	lock.Unlock()
	semaphore.Release(1)
	event.Set()
	condition.L.Lock()
	condition.Notify(1)
	condition.L.Unlock()
	_, _ = barrier.Wait(context.Background())
	ended.Wait()
	lock.Unlock()
}

// await runs the function in a goroutine, and waits for it.
func await(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func semaphoreAt(address uintptr) *golock.Semaphore {
	s, err := golock.SemaphoreAt(address)
	if err != nil {
		panic(err)
	}
	return s
}

//export Release
func Release(semaphore uintptr, n C.int) { semaphoreAt(semaphore).Release(uint32(n)) }

//export AcquireInGoroutine
func AcquireInGoroutine(semaphore uintptr, n C.int) {
	await(func() {
		for range n {
			_ = semaphoreAt(semaphore).Acquire(context.Background())
		}
	})
}

//export ReleaseInGoroutine
func ReleaseInGoroutine(semaphore uintptr, n C.int) {
	await(func() { semaphoreAt(semaphore).Release(uint32(n)) })
}

//export SetInGoroutine
func SetInGoroutine(event uintptr) {
	await(func() {
		e, err := golock.EventAt(event)
		if err != nil {
			panic(err)
		}
		e.Set()
	})
}

// WaitInObject has a goroutine wait for a lock beside a pointer, which the goroutine holds itself.
//
//export WaitInObject
func WaitInObject() {
	object := &struct {
		name *string
		lock golock.Lock
	}{name: new(string)}
	go func() {
		object.lock.Lock()
		object.lock.Lock()
	}()
}

// UnlockAfter releases Go's lock when something can be read from the descriptor.
//
//export UnlockAfter
func UnlockAfter(descriptor uintptr) {
	start(func() {
		_, _ = os.NewFile(descriptor, "").Read(make([]byte, 1))
		lock.Unlock()
	})
}

// Join waits until all goroutines have ended.
//
//export Join
func Join() { ended.Wait() }

func main() {}
