package core

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Waiter is one acquire, of a lock or of a semaphore's permit, that has to wait. It is a state
// machine that never sleeps: Next decides what to do, and its driver, a Python thread on its own C
// stack or a goroutine, does so and returns with what happened. Python's threads do the simple part
// in C, pyext/native/waiting/plain.c, and use the core for the rest.
//
// struct golock_waiter in golock/capi/golock.h has the same layout.
type Waiter struct {
	word     *uint32
	deadline int64 // monotonic nanoseconds, or Forever

	// patience is how long to trust a reservation, in nanoseconds, or 0: for ever. See "A claimant
	// that does not come" in word.go.
	patience int64

	since int64 // when the wait began

	// Where and how to sleep after Next returned Park.
	value   uint32 // while the word has this value
	channel uint32
	until   int64 // monotonic nanoseconds, or Forever

	designated bool // it has the debt of a claimant: claim or resign
	returns    bool // it has slept before, and is woken before those that have not
	counted    bool // among the waiters of its word
	semaphore  bool // the word is a semaphore's

	// Only for goroutines. C has bytes for these, which it leaves zero.
	first         bool // it is the first of the line of its word
	claimFromLine bool // it has the claim from the one before it in line
	passesClaim   bool // leaves its claim to the next when it takes the lock
}

// Forever is the deadline of a waiter without a limit.
const Forever = int64(1<<63 - 1)

// A Reason says what happened since Next last returned.
type Reason int32

// The reasons.
const (
	Entered     Reason = iota // the first call, and the first after Aborted
	Woken                     // the kernel reports that this waiter was woken
	Changed                   // the word did not have the expected value
	Expired                   // the time in until has come
	Interrupted               // a signal arrived
)

// An Action is what Next wants done.
type Action int32

// The actions.
const (
	Acquired Action = iota // the lock is taken
	Park                   // sleep, then call Next with the reason
	TimedOut               // the deadline has passed; the lock is not taken
	Aborted                // the answer to Interrupted: the lock is not taken, and nothing is owed
)

// A goroutine's patience: long compared with any wait for the GIL in a healthy program.
var goroutinePatience = int64(100 * time.Millisecond)

// WaiterLayout is the size of a Waiter and the offsets of the fields that C shares, a byte each; C
// compares it with its own.
const WaiterLayout = uint64(unsafe.Sizeof(Waiter{})) |
	uint64(unsafe.Offsetof(Waiter{}.deadline))<<8 |
	uint64(unsafe.Offsetof(Waiter{}.patience))<<16 |
	uint64(unsafe.Offsetof(Waiter{}.value))<<24 |
	uint64(unsafe.Offsetof(Waiter{}.channel))<<32 |
	uint64(unsafe.Offsetof(Waiter{}.until))<<40 |
	uint64(unsafe.Offsetof(Waiter{}.designated))<<48 |
	uint64(unsafe.Offsetof(Waiter{}.semaphore))<<56

// WaiterPassed has the offsets of the fields that C fills in for a waiter that it passes on, a byte
// each.
const WaiterPassed = uint64(unsafe.Offsetof(Waiter{}.since)) |
	uint64(unsafe.Offsetof(Waiter{}.counted))<<8

// NewWaiter returns the waiter of a goroutine for a lock. The deadline is in monotonic nanoseconds,
// or Forever.
func NewWaiter(word *uint32, deadline int64) Waiter {
	return Waiter{word: word, deadline: deadline, patience: goroutinePatience}
}

func (w *Waiter) cell() Cell { return Cell{w.word, w.semaphore} }

// Next takes what happened and decides what to do. A Python thread must call it with the GIL. If it
// took the lock without the GIL, it would hold the lock while it waits for the GIL, and all others
// would wait as well: see "The convoy phenomenon" (Blasgen, Gray, Mitoma, Price, 1979).
func (w *Waiter) Next(reason Reason) Action {
	if w.since == 0 {
		w.since = now()
	}
	action := w.decide(reason)
	switch {
	case action == Park && !w.counted:
		w.counted = true
		atomic.AddInt32(waiting(w.word), 1)
	case action != Park && w.counted:
		w.counted = false
		atomic.AddInt32(waiting(w.word), -1)
	}
	return action
}

func (w *Waiter) decide(reason Reason) Action {
	switch reason {
	case Woken:
		w.designated, w.returns = true, true
	case Expired:
		w.returns = true
	case Interrupted:
		w.returns = true
		w.resign()
		return Aborted
	}
	outlived := reason == Expired && reserved(w.value) && now() < w.deadline
	c := w.cell()
	for {
		old := c.load()
		word := old.word()
		if word&Held == 0 && (w.mayClaim(word) || outlived || !reserved(word)) {
			// On a reservation it replaces the claimant that did not come.
			w.designated = w.designated || reserved(word)
			next := w.claimed(old)
			if !c.compareAndSwap(old, next) {
				continue
			}
			w.passesClaim = w.passesClaim && w.designated && next.permits() == 0
			if w.designated && next.permits() > 0 {
				c.appoint()
			}
			w.designated = false
			return Acquired
		}
		at := now()
		if at >= w.deadline {
			w.resign()
			return TimedOut
		}
		announced, channel := w.announced(word, at)
		if announced == word || c.compareAndSwap(old, old.withFlags(announced)) {
			w.value, w.channel, w.until = announced, channel, w.deadline
			w.designated = channel == channelClaimant
			if w.patience != 0 {
				w.until = min(at+w.patience, w.deadline)
			}
			return Park
		}
	}
}

// Stay reports whether the waiter, after Changed, may sleep again without a change of the word. It
// only reads the word, so a Python thread calls it without the GIL. If it reports false, the thread
// takes the GIL and calls Next.
func (w *Waiter) Stay() bool {
	word := w.cell().load().word()
	if word&Held == 0 && (w.mayClaim(word) || !hasClaimant(word)) {
		return false
	}
	if next, channel := w.announced(word, now()); next != word || channel != w.channel {
		return false
	}
	w.value = word
	return true
}

// requested reports whether the waiter has requested the hand-off. It does so until it claims or
// resigns.
func (w *Waiter) requested() bool { return w.designated && w.channel == channelClaimant }

// mayClaim reports whether the waiter is a claimant, and a free word is not reserved for another.
func (w *Waiter) mayClaim(old uint32) bool {
	return w.designated && (w.requested() || !handoffRequested(old))
}

// claimed returns the state after this waiter has taken the lock or a permit. A claimant does not
// know whether others sleep. If no permits are left it sets Waiters, and the next release finds
// out; where a lock is first come, first served, that release is a hand-off as well. If permits are
// left no release need follow, so it names the next claimant itself, and appoints it afterwards. A
// waiter that leaves its claim to the next in line names that one.
func (w *Waiter) claimed(old state) state {
	if !w.designated {
		return barged(old)
	}
	next := old - permit
	bits := uint32(Waiters)
	if w.passesClaim || next.permits() > 0 {
		bits = claimantBits(w.word)
	}
	if !Barging() {
		bits |= Handoff
	}
	return next.withFlags(bits)
}

// barged returns the state after a newcomer has taken a lock or a permit. A claimant stays named.
func barged(old state) state {
	next := old - permit
	if hasClaimant(old.word()) {
		return next.withFlags(old.word() & nameMask)
	}
	return next.withFlags(0)
}

// announced returns the word that this waiter may sleep on, and the channel.
func (w *Waiter) announced(old uint32, at int64) (next, channel uint32) {
	threshold := handoffAfter.Load()
	next, channel = old, channelSleeper
	if w.returns {
		channel = channelReturner
	}
	switch {
	case old&Held != 0 &&
		(w.requested() || w.designated && !handoffRequested(old) && at-w.since >= threshold):
		// It was woken and waited for the GIL, but a newcomer was faster. It keeps its place before
		// all others and requests the hand-off.
		next, channel = Held|Waiters|Handoff|old&dueMask|self, channelClaimant
	case old&Held == 0 || handoffRequested(old):
		// The claimant that the word names will set Waiters.
	case w.designated || !hasClaimant(old):
		next = old&^nameMask | Waiters
	}
	if threshold == 0 {
		next |= Handoff
	}
	return next, channel
}

// resign ends the wait without the lock and pays the debt of a claimant: the holder's release will
// wake another waiter, or this wakes one now. It does nothing without a debt, or if another
// claimant has requested the lock: that one has the same debt.
func (w *Waiter) resign() {
	if !w.designated {
		return
	}
	requested := w.requested()
	w.designated = false
	c := w.cell()
	for {
		old := c.load()
		word := old.word()
		if handoffRequested(word) && !requested {
			return
		}
		if word&Held != 0 {
			if c.compareAndSwap(old, old.withFlags(word&^nameMask|Waiters)) {
				return
			}
			continue
		}
		if c.compareAndSwap(old, old.withFlags(word&Handoff|self)) {
			c.appoint()
			return
		}
	}
}

// Release releases a held lock, or adds n permits to a semaphore. It reports false if the lock was
// free, or if the semaphore would have more than most permits. Fast paths may handle words without
// other bits than Held. Only a release with shouldCheckClock, while a claimant is on its way, reads
// the clock.
func (c Cell) Release(n, most uint32, shouldCheckClock bool) bool {
	for {
		old := c.load()
		word := old.word()
		if most < n || old.permits() > most-n {
			return false
		}
		next := old + state(n)<<32
		switch {
		case word&Held == 0:
			// Permits were already available, so either a waiter has been woken or none sleeps.
			if c.compareAndSwap(old, next) {
				return true
			}
		case hasClaimant(word) && (word&Handoff != 0 || shouldCheckClock && due(word)):
			if c.compareAndSwap(old, next.withFlags(word|Handoff)) {
				// If the claimant is awake, nobody sleeps on this channel, and it will come.
				wake(c.word, channelClaimant)
				return true
			}
		case hasClaimant(word):
			if c.compareAndSwap(old, next.withFlags(word&nameMask)) {
				return true
			}
		case word&(Handoff|Waiters) != 0:
			if c.compareAndSwap(old, next.withFlags(word&Handoff|claimantBits(c.word))) {
				c.appoint()
				return true
			}
		default:
			if c.compareAndSwap(old, next.withFlags(0)) {
				return true
			}
		}
	}
}

// appoint wakes a sleeper, which becomes the claimant that the word already names. If nobody
// sleeps, it takes the name back. Newcomers that have gone to sleep since relied on the name, so it
// wakes one of them afterwards.
func (c Cell) appoint() {
	if wakeFirst(c.word) {
		return
	}
	for {
		old := c.load()
		word := old.word()
		if handoffRequested(word) {
			return
		}
		bits := uint32(0)
		if word&Held != 0 {
			bits = word&^nameMask | Waiters
		}
		if c.compareAndSwap(old, old.withFlags(bits)) {
			break
		}
	}
	wakeFirst(c.word)
}

// wakeFirst wakes the longest sleeper, returners and claimants first, and reports whether there was
// one.
func wakeFirst(word *uint32) bool {
	return wake(word, channelReturner|channelClaimant) || wake(word, channelAny)
}

// TryAcquire takes the lock or a permit if there is one and it is not reserved. With a threshold of
// 0 those in line go first.
func (c Cell) TryAcquire() bool {
	if !Barging() && inLine(c.word) {
		return false
	}
	for {
		old := c.load()
		if taken(old.word()) {
			return false
		}
		if c.compareAndSwap(old, barged(old)) {
			return true
		}
	}
}

// Locked reports whether a newcomer would have to wait.
func (c Cell) Locked() bool { return taken(c.load().word()) }
