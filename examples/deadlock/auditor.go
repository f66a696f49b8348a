// Command auditor is a library for deadlock.py: a goroutine that takes two locks of Python's.
//
//	go build -buildmode=c-shared -o auditor.so ./deadlock
package main

import "C"

import (
	"context"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/capi"
)

// Core returns the address of this runtime's core, so that golock knows the goroutine.
//
//export Core
func Core() uintptr { return capi.Core() }

// Audit starts a goroutine that takes the first lock, and the second once the event is set. It
// returns 0 if an address is not that of such an object.
//
//export Audit
func Audit(first, second, proceed uintptr) int {
	held, err := golock.At(first)
	if err != nil {
		return 0
	}
	wanted, err := golock.At(second)
	if err != nil {
		return 0
	}
	start, err := golock.EventAt(proceed)
	if err != nil {
		return 0
	}
	taken := make(chan struct{})
	go audit(held, wanted, start, taken)
	<-taken
	return 1
}

func audit(held, wanted *golock.Lock, proceed *golock.Event, taken chan<- struct{}) {
	held.Lock()
	defer held.Unlock()
	close(taken)
	if proceed.Wait(context.Background()) != nil {
		return
	}
	wanted.Lock()
	defer wanted.Unlock()
}

func main() {}
