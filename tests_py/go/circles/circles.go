// Command circles is a library for test_deadlocks_with_goroutines.py: goroutines, and Go code that
// Python calls, which wait in circles with Python's threads.
//
//	go build -buildmode=c-shared -o circles.so ./circles
package main

import "C"

import (
	"sync"
	"time"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/capi"
)

// Core returns the address of this runtime's core.
//
//export Core
func Core() uintptr { return capi.Core() }

var goroutines sync.WaitGroup

// Member starts a goroutine that takes the first lock and then the second.
// It returns once the first is taken.
//
//export Member
func Member(first, second uintptr) {
	held, wanted := at(first), at(second)
	taken := make(chan struct{})
	goroutines.Add(1)
	go func() {
		defer goroutines.Done()
		held.Lock()
		defer held.Unlock()
		close(taken)
		pass(wanted)
	}()
	<-taken
}

// Park starts goroutines that wait for the lock.
//
//export Park
func Park(lock uintptr, count int) {
	l := at(lock)
	goroutines.Add(count)
	for range count {
		go func() {
			defer goroutines.Done()
			pass(l)
		}()
	}
}

// Join waits for the goroutines.
//
//export Join
func Join() { goroutines.Wait() }

// Wait takes the lock and releases it. Python calls it with the GIL, or without.
//
//export Wait
func Wait(lock uintptr) { pass(at(lock)) }

func pass(lock *golock.Lock) {
	lock.Lock()
	defer lock.Unlock()
}

// Hold holds the lock for so many milliseconds.
//
//export Hold
func Hold(lock uintptr, milliseconds int) {
	l := at(lock)
	l.Lock()
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	l.Unlock()
}

func at(address uintptr) *golock.Lock {
	lock, err := golock.At(address)
	if err != nil {
		panic(err)
	}
	return lock
}

func main() {}
