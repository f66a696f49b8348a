package golock

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Goroutines that wait for one lock stand in a line before it, and only the first of them waits on
// the word, where it sleeps in the kernel like a Python thread does. So many goroutines waiting for
// one lock occupy at most one OS thread between them.
type line struct {
	waiting []chan struct{} // each closed when its goroutine has become the first
}

var lines = struct {
	sync.Mutex
	of map[*uint32]*line
}{of: map[*uint32]*line{}}

// enter joins the line of the word. It returns nil at once when the caller is the first, otherwise a
// channel that is closed when it has become the first.
func enter(word *uint32) chan struct{} {
	lines.Lock()
	defer lines.Unlock()
	l, ok := lines.of[word]
	if !ok {
		lines.of[word] = &line{}
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	return turn
}

// leave is called by the first of the line, and makes the next one the first.
func leave(word *uint32) {
	lines.Lock()
	defer lines.Unlock()
	l := lines.of[word]
	if len(l.waiting) == 0 {
		delete(lines.of, word)
		return
	}
	close(l.waiting[0])
	l.waiting = l.waiting[1:]
}

// abandon takes a goroutine that gave up out of the line. Its turn may have come in the same moment;
// then the turn is passed on.
func abandon(word *uint32, turn chan struct{}) {
	lines.Lock()
	l := lines.of[word]
	for i, other := range l.waiting {
		if other == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			lines.Unlock()
			return
		}
	}
	lines.Unlock()
	leave(word)
}

// wait takes the lock or a permit for a goroutine. It returns the context's error when the context ended first,
// and context.DeadlineExceeded when the deadline (monotonic nanoseconds) has passed.
func (c cell) wait(ctx context.Context, deadline int64) error {
	if c.spin() {
		return nil
	}
	waiter := NewWaiter(c.word, deadline)
	waiter.semaphore = c.semaphore
	if turn := enter(c.word); turn != nil {
		var expired <-chan time.Time
		if deadline != Forever {
			timer := time.NewTimer(time.Duration(deadline - now()))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-turn:
		case <-ctx.Done():
			abandon(c.word, turn)
			return ctx.Err()
		case <-expired:
			abandon(c.word, turn)
			return context.DeadlineExceeded
		}
	}
	defer leave(c.word)
	return waiter.wait(ctx)
}

// wait drives the waiter from the goroutine that stands first in line.
func (w *Waiter) wait(ctx context.Context) error {
	channels := uint32(0)
	if ctx.Done() != nil {
		channels = channelCancel
		gone := make(chan struct{})
		defer close(gone)
		defer context.AfterFunc(ctx, func() { cancel(w.word, gone) })()
	}
	for reason := Entered; ; {
		switch w.Next(reason) {
		case Acquired:
			return nil
		case TimedOut:
			return context.DeadlineExceeded
		}
		if ctx.Err() != nil {
			w.Next(Interrupted)
			return ctx.Err()
		}
		reason = park(w.word, w.value, w.channel|channels, w.until)
	}
}

// cancel wakes the goroutine whose context has ended until it has noticed: it may be about to sleep,
// and the word does not change for it.
func cancel(word *uint32, gone <-chan struct{}) {
	for pause := time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		wake(word, channelCancel)
		select {
		case <-gone:
			return
		case <-time.After(pause):
		}
	}
}

// A short critical section ends sooner than a sleep would, if its owner runs on another processor.
const spinLoads = 120

var spins = runtime.NumCPU() > 1 && runtime.GOMAXPROCS(0) > 1

// spin looks for the lock to become free for a moment, where another processor can free it.
func (c cell) spin() bool {
	if spins {
		for range spinLoads {
			if atomic.LoadUint32(c.word)&Held == 0 {
				return c.tryAcquire()
			}
		}
	}
	return false
}
