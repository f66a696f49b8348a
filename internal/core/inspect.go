package core

import (
	"context"
	"sync/atomic"
)

// What tests of the packages above look at and do.

// Self is what names a claimant of this process in a word.
func Self() uint32 { return self }

// LineLength counts the goroutines that wait for the word, the first of which sleeps or is about to.
func LineLength(word *uint32) int {
	s := linesOf(word)
	defer s.Unlock()
	if line := s.of[word]; line != nil {
		return 1 + line.behind.Len()
	}
	return 0
}

// Counted returns how many waiters are counted for the word, and for those that share its counter.
func Counted(word *uint32) int32 { return atomic.LoadInt32(waiting(word)) }

// WaitAsThread takes the lock or a permit as a thread that is not Go's does: beside the line of goroutines, and without
// their patience, so that it keeps its place.
func (c Cell) WaitAsThread(ctx context.Context, deadline int64) error {
	w := Waiter{word: c.word, deadline: deadline, semaphore: c.semaphore}
	return w.wait(ctx)
}
