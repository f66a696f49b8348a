package core

import (
	queue "container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Goroutines that wait for one lock form a line, and only the first waits on the word, where it
// sleeps in the kernel as a Python thread does. So however many goroutines wait for one lock, at
// most one OS thread of theirs is blocked.
//
// The first competes with the other waiters on the word as one waiter. So that many goroutines do
// not get less than one thread, a line has runs. A first that takes the lock as the claimant, after
// a wait in the kernel, leaves its claim to the next in line, and that one to the next, for as long
// as the first has waited. Meanwhile the word names a claimant, so nobody in the kernel is woken.
type line struct {
	behind  queue.List // of *place
	runEnds int64      // the end of the line's run, in monotonic nanoseconds
}

// longestRun is the limit of a run, in thresholds: as long as all others have, if they are many.
const longestRun = LongestRound / 2

// A place is a goroutine's place behind the first of a line.
type place struct {
	promoted   chan struct{} // closed when the goroutine becomes the first
	designated bool          // it becomes the claimant that the word names as well
	element    *queue.Element
}

// The lines of the words whose addresses map to the same shard.
type lineShard struct {
	sync.Mutex
	of map[*uint32]*line
}

var lines [64]lineShard

// lineCount is the number of lines. It spares a thread of another language a mutex, for which it
// might wait in Go's scheduler.
var lineCount atomic.Int32

// linesOf returns the shard of the word's line, locked.
func linesOf(word *uint32) *lineShard {
	s := &lines[uintptr(unsafe.Pointer(word))>>2%uintptr(len(lines))]
	s.Lock()
	return s
}

// enter joins the line of the word. It returns nil at once if the caller is the first, otherwise
// its place.
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

// leave removes the first, which calls it, from the line and promotes the next. With claim, that
// one also becomes the claimant. It reports false if there is no next one.
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

// abandon removes a goroutine that gave up from the line. It reports false if the goroutine was
// promoted meanwhile: then it is the first, and has to leave.
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

// inLine reports whether a goroutine waits in the line of the word.
func inLine(word *uint32) bool {
	if lineCount.Load() == 0 {
		return false
	}
	s := linesOf(word)
	defer s.Unlock()
	return s.of[word] != nil
}

// wait returns nil when the goroutine is promoted, otherwise the error with which the wait ends.
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
