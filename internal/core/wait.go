package core

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Wait takes the lock or a permit for a goroutine. It returns the context's error if the context
// ended first, and context.DeadlineExceeded if the deadline (monotonic nanoseconds, or [Forever])
// has passed.
func (c Cell) Wait(ctx context.Context, deadline int64) error {
	if c.spin() {
		return nil
	}
	w := NewWaiter(c.word, deadline)
	w.semaphore = c.semaphore
	if p := enter(c.word); p != nil {
		if err := p.wait(ctx, deadline); err != nil {
			if !abandon(c.word, p) {
				w.designated = p.designated
				w.Next(Interrupted)
				leave(c.word, false)
			}
			return err
		}
		if p.designated {
			w.takeClaimFromLine(ctx)
		}
	}
	w.first = true
	err := w.wait(ctx)
	passesClaim := err == nil && w.passesClaim
	if !leave(c.word, passesClaim) && passesClaim {
		w.designated, w.channel = true, channelSleeper
		w.resign()
	}
	return err
}

// takeClaimFromLine makes a waiter the claimant in place of the one before it in the line. While
// other goroutines take and release the lock it does not sleep in the kernel, where the next
// release could wake a waiter outside the line.
func (w *Waiter) takeClaimFromLine(ctx context.Context) {
	w.designated, w.claimFromLine, w.since = true, true, now()
	for end := min(w.since+dueLimit, w.deadline); ctx.Err() == nil && now() < end; time.Sleep(nap) {
		word := atomic.LoadUint32(w.word)
		if word&Held == 0 || word&Handoff != 0 || !hasClaimant(word) || due(word) {
			return
		}
	}
}

// nap is the time between a claimant's looks: as long as a sleeper takes to wake up in the kernel.
const nap = 50 * time.Microsecond

// mayPassClaim reports whether the waiter, if it takes the lock as the claimant, is to leave its
// claim to the next in line.
func (w *Waiter) mayPassClaim() bool {
	if !w.first || w.since == 0 { // or it has not waited
		return false
	}
	s := linesOf(w.word)
	defer s.Unlock()
	l := s.of[w.word]
	if l.behind.Len() == 0 {
		return false
	}
	at := now()
	if !w.claimFromLine {
		l.runEnds = at + min(at-w.since, longestRun*min(handoffAfter.Load(), dueLimit))
	}
	return at < l.runEnds
}

// wait drives the waiter, in the goroutine that is first in line.
func (w *Waiter) wait(ctx context.Context) error {
	channels := uint32(0)
	if ctx.Done() != nil {
		channels = channelCancel
		gone := make(chan struct{})
		defer close(gone)
		defer context.AfterFunc(ctx, func() { cancel(w.word, gone) })()
	}
	for reason := Entered; ; {
		w.passesClaim = w.mayPassClaim()
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

// cancel wakes the goroutine whose context has ended, repeatedly until it has noticed: it may be
// about to sleep, and the word does not change for it.
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

// A short critical section on another processor ends sooner than a sleep would. The looks at the
// word are few and far between, because each takes its cache line away from the owner.
const (
	spinLooks = 4
	spinPause = 4000 // rounds of an empty loop: about a microsecond
)

var spins = runtime.NumCPU() > 1 && runtime.GOMAXPROCS(0) > 1

// spin tries to take the lock, for a moment if another processor can release it meanwhile.
func (c Cell) spin() bool {
	looks := 1
	if spins && Barging() {
		looks = spinLooks
	}
	for look := range looks {
		if look > 0 {
			for range spinPause {
			}
		}
		if atomic.LoadUint32(c.word)&Held == 0 {
			return c.TryAcquire()
		}
	}
	return false
}
