package core

import (
	queue "container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Goroutines that wait for one lock stand in a line before it, and only the first of them waits on
// the word, where it sleeps in the kernel like a Python thread does. So many goroutines waiting for
// one lock occupy at most one OS thread between them.
//
// The first is one waiter among the others that sleep on the word, however many stand behind it. So that
// many goroutines do not get less than one thread, a line has turns: a first that takes the lock as the claimant, after a
// wait in the kernel, leaves its claim to the next of the line, and that one to the next, for as long as it has
// waited itself. Meanwhile the word names a claimant, so nobody in the kernel is woken.
type line struct {
	behind  queue.List // of *place
	runEnds int64      // the end of the line's turn, in monotonic nanoseconds
}

// longestRun is how long the turn of a line may be, in thresholds: as long as all others have, where they are many.
const longestRun = LongestRound / 2

// A turn is a goroutine's place behind the first of a line.
type place struct {
	promoted   chan struct{} // closed when it has become the first
	designated bool          // and the claimant that the word names
	element    *queue.Element
}

// The lines of the words whose addresses fall into the same shard.
type lineShard struct {
	sync.Mutex
	of map[*uint32]*line
}

var lines [64]lineShard

// lineCount counts the lines there are. A thread of another language, which has no line, then need not touch a mutex,
// for which it could wait in Go's scheduler.
var lineCount atomic.Int32

// linesOf returns the shard with the line of the word, locked.
func linesOf(word *uint32) *lineShard {
	s := &lines[uintptr(unsafe.Pointer(word))>>2%uintptr(len(lines))]
	s.Lock()
	return s
}

// enter joins the line of the word. It returns nil at once when the caller is the first, otherwise its
// place.
func enter(word *uint32) *place {
	s := linesOf(word)
	defer s.Unlock()
	l, ok := s.of[word]
	if !ok {
		if s.of == nil {
			s.of = make(map[*uint32]*line)
		}
		lineCount.Add(1)
		s.of[word] = &line{}
		return nil
	}
	p := &place{promoted: make(chan struct{})}
	p.element = l.behind.PushBack(p)
	return p
}

// leave is called by the first of the line, and makes the next one the first, and the claimant if the caller
// leaves its claim to it. It reports false when there is no next one.
func leave(word *uint32, claim bool) bool {
	s := linesOf(word)
	defer s.Unlock()
	l := s.of[word]
	next := l.behind.Front()
	if next == nil {
		delete(s.of, word)
		lineCount.Add(-1)
		return false
	}
	p := l.behind.Remove(next).(*place)
	p.designated = claim
	close(p.promoted)
	return true
}

// abandon takes a goroutine that gave up out of the line. It reports false when its turn came in the same moment:
// then it is the first, and has to leave.
func abandon(word *uint32, p *place) bool {
	s := linesOf(word)
	defer s.Unlock()
	select {
	case <-p.promoted:
		return false
	default:
		s.of[word].behind.Remove(p.element)
		return true
	}
}

// inLine reports whether somebody waits in the line of the word.
func inLine(word *uint32) bool {
	if lineCount.Load() == 0 {
		return false
	}
	s := linesOf(word)
	defer s.Unlock()
	return s.of[word] != nil
}

// wait returns nil when the turn has come, otherwise the error with which the wait ends.
func (p *place) wait(ctx context.Context, deadline int64) error {
	var expired <-chan time.Time
	if deadline != Forever {
		timer := time.NewTimer(time.Duration(deadline - now()))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-p.promoted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-expired:
		return context.DeadlineExceeded
	}
}
