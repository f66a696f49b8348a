// Package waittest has what tests of waiting share.
package waittest

import (
	"sync"
	"testing"
	"time"
)

// Eventually waits for a condition that another goroutine brings about.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// Within fails the test when what is to be closed is not closed in time.
func Within(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
}

// Concurrently runs so many goroutines and waits for them.
func Concurrently(number int, run func(i int)) {
	var group sync.WaitGroup
	for i := range number {
		group.Add(1)
		go func() {
			defer group.Done()
			run(i)
		}()
	}
	group.Wait()
}

// InBackground runs so many goroutines, and returns a channel that is closed when all have ended.
func InBackground(number int, run func(i int)) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		Concurrently(number, run)
		close(ended)
	}()
	return ended
}
