package process

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/golock/golock/internal/core"
)

// ErrAbandoned says that a process died while it held the lock, and nobody has recovered it.
var ErrAbandoned = errors.New("a process died while it held the lock")

// Lock is a lock across processes. Package golock has the documentation.
type Lock struct {
	page *page

	// Goroutines that wait form a line, and only the first sleeps in the kernel: the one that has
	// the token.
	line  chan struct{}
	close sync.Once
}

// Open returns the lock of a name.
func Open(name string) (*Lock, error) {
	p, err := open(name, KindLock)
	if err != nil {
		return nil, err
	}
	if err := p.enter(); err != nil {
		p.drop()
		return nil, err
	}
	return &Lock{page: p, line: make(chan struct{}, 1)}, nil
}

// Close gives the lock's page back.
func (l *Lock) Close() { l.close.Do(l.page.drop) }

// TryAcquire takes the lock if it is free and not reserved for a waiter.
func (l *Lock) TryAcquire() bool {
	l.page.owes(1)
	defer l.page.owes(-1)
	l.page.settle()
	w := waiter{page: l.page, deadline: 0, since: core.Now()}
	return w.next(core.Entered) == acquired
}

// Acquire takes the lock. It returns the context's error if the context ended first,
// context.DeadlineExceeded after the deadline (monotonic nanoseconds), and ErrAbandoned, if refuses
// is set, for a lock whose holder died.
func (l *Lock) Acquire(ctx context.Context, deadline int64, refuses bool) error {
	l.page.owes(1)
	defer l.page.owes(-1)
	l.page.settle() // perhaps nobody was left to see the holder die
	w := waiter{page: l.page, deadline: 0, since: core.Now(), refuses: refuses}
	switch w.next(core.Entered) {
	case acquired:
		return nil
	case abandoned:
		return ErrAbandoned
	}
	if err := l.enterLine(ctx, deadline); err != nil {
		return err
	}
	defer func() { <-l.line }()
	w = waiter{page: l.page, deadline: deadline, since: core.Now(), refuses: refuses}
	return w.wait(ctx)
}

func (l *Lock) enterLine(ctx context.Context, deadline int64) error {
	var expired <-chan time.Time
	if deadline != core.Forever {
		timer := time.NewTimer(time.Duration(deadline - core.Now()))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case l.line <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-expired:
		return context.DeadlineExceeded
	}
}

// Release releases the lock, whoever holds it. It reports false if the lock was free.
func (l *Lock) Release() bool {
	l.page.order.beforeRelease()
	if l.page.memory.load().holder() != l.page.me.Load() {
		l.page.settle() // a dead holder does not release: its death is told
	}
	return l.page.release()
}

// Locked reports whether a newcomer would have to wait.
func (l *Lock) Locked() bool {
	l.page.settle()
	cell := l.page.memory.load()
	return cell.holder() != 0 || cell.reserved()
}

// Abandoned reports whether a holder has died since the last recovery.
func (l *Lock) Abandoned() bool {
	l.page.settle()
	return l.page.memory.load().deaths() != 0
}

// Recover forgets the deaths of holders, and returns how many there were. It reports false if this
// process does not hold the lock.
func (l *Lock) Recover() (int, bool) {
	if l.page.memory.load().holder() != l.page.me.Load() {
		return 0, false
	}
	return l.page.memory.recover(), true
}

// wait drives the waiter, in the goroutine that is first in line.
func (w *waiter) wait(ctx context.Context) error {
	channels := uint32(0)
	if ctx.Done() != nil {
		channels = channelCancel
		gone := make(chan struct{})
		defer close(gone)
		defer context.AfterFunc(ctx, func() { cancel(w.page.memory.word(), gone) })()
	}
	for reason := core.Entered; ; {
		switch w.next(reason) {
		case acquired:
			return nil
		case timedOut:
			return context.DeadlineExceeded
		case abandoned:
			return ErrAbandoned
		}
		if ctx.Err() != nil {
			w.next(core.Interrupted)
			return ctx.Err()
		}
		dying := w.page.settle()
		reason = w.sleep(channels, dying)
	}
}

// sleep sleeps while the word is the one that the waiter has announced.
func (w *waiter) sleep(channels uint32, dying bool) core.Reason {
	p := w.page
	until := w.until
	p.asleep.Add(1)
	defer p.asleep.Add(-1)
	s := p.sentinel
	switch {
	case s == nil && dying:
		until = min(until, core.Now()+int64(afterFailure))
	case s == nil:
		until = min(until, core.Now()+lookAtByte)
	case dying || !s.ticks.Load():
		s.kick()
	}
	reason := parkShared(p.memory.word(), w.value, w.channel|channels, until)
	if reason == core.Expired && until < w.until {
		p.look()
		return core.Changed
	}
	return reason
}

// parkShared sleeps while *word is value, until a wake on one of the channels or until the moment.
func parkShared(word *uint32, value, channels uint32, until int64) core.Reason {
	var timeout *unix.Timespec
	if until != core.Forever {
		ts := unix.NsecToTimespec(until)
		timeout = &ts
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)),
		9, uintptr(value), uintptr(unsafe.Pointer(timeout)), 0, uintptr(channels)) // WAIT_BITSET
	switch errno {
	case 0:
		return core.Woken
	case unix.ETIMEDOUT:
		return core.Expired
	default:
		return core.Changed
	}
}

// cancel wakes goroutines whose contexts can end, until the one whose context has ended has
// noticed.
func cancel(word *uint32, gone <-chan struct{}) {
	for pause := time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		wake(word, 1<<30, channelCancel)
		select {
		case <-gone:
			return
		case <-time.After(pause):
		}
	}
}
