package core

import (
	"context"
	"sync/atomic"
)

// For tests of the packages above.

// Self returns the bits that name a claimant of this process in a word.
func Self() uint32 { return self }

// LineLength returns the number of goroutines that wait for the word. The first of them sleeps or
// is about to.
func LineLength(word *uint32) int {
	s := linesOf(word)
	defer s.Unlock()
	if line := s.of[word]; line != nil {
		return 1 + line.behind.Len()
	}
	return 0
}

// Counted returns the count of waiters of the word and of those that share its counter.
func Counted(word *uint32) int32 { return atomic.LoadInt32(waiting(word)) }

// WaitAsThread takes the lock or a permit as a thread outside Go does: not in the line of
// goroutines, and without their patience, so that it keeps its place.
func (c Cell) WaitAsThread(ctx context.Context, deadline int64) error {
	w := Waiter{word: c.word, deadline: deadline, semaphore: c.semaphore}
	return w.wait(ctx)
}
