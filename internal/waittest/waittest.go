// Package waittest has what tests of waiting share.
package waittest

import (
	"sync"
	"testing"
	"time"
)

// Eventually waits until the condition holds, and fails the test after 10 s.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for ; !condition(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// Within waits until the channel is closed, and fails the test after 10 s.
func Within(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
}

// Concurrently runs that many goroutines and waits for them.
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

// InBackground runs that many goroutines, and returns a channel that is closed when all have ended.
func InBackground(number int, run func(i int)) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		Concurrently(number, run)
		close(ended)
	}()
	return ended
}
