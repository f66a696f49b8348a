package core

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Waiter is one acquire, of a lock or of a semaphore's permit, that could not be served at once. It is a state machine that never sleeps by
// itself: Next says what to do, and whoever drives it, a Python thread on its own C stack or a
// goroutine, sleeps when told to Park and comes back with what happened. So the algorithm stays apart from the ways
// of sleeping. Python's threads have its simple part in C, pyext/native/waiting/plain.c, and come here with the rest.
//
// The layout is mirrored by struct golock_waiter in golock/capi/golock.h.
type Waiter struct {
	word     *uint32
	deadline int64 // monotonic nanoseconds, or Forever

	// patience is how long to trust a reservation, in nanoseconds, or 0 for ever: see "A claimant that
	// does not come" in word.go.
	patience int64

	since int64 // when the wait began

	// Where and how to sleep after Next returned Park.
	value   uint32 // the word must still be this
	channel uint32
	until   int64 // monotonic nanoseconds, or Forever

	designated bool // the debt of a claimant: claim or resign
	returns    bool // has slept before, and goes before those that came later
	counted    bool // among the waiters of its word
	semaphore  bool // the word is that of a semaphore

	// Of a goroutine. C has bytes for these, which it leaves zero.
	first         bool // of the line of its word
	claimFromLine bool // was the claimant in its place, from the one before it
	passesClaim   bool // leaves its claim to the next when it takes the lock
}

// Forever is the deadline of a waiter that waits without limit.
const Forever = int64(1<<63 - 1)

// Reason tells Next what happened since it last answered.
type Reason int32

// The reasons.
const (
	Entered     Reason = iota // the first call, and the first after Aborted
	Woken                     // the kernel says that a wake was meant for this waiter
	Changed                   // the word was no longer the expected value
	Expired                   // the time in until has come
	Interrupted               // a signal arrived
)

// Action is what Next wants done.
type Action int32

// The actions.
const (
	Acquired Action = iota // the lock is taken
	Park                   // sleep, then call Next with the reason
	TimedOut               // the deadline has passed, the lock is not taken
	Aborted                // the answer to Interrupted: the lock is not taken, nothing is owed
)

// A goroutine's patience. Long beside any wait for the GIL that a healthy program has.
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

// WaiterPassed is where the fields are that C fills in for a waiter which it passes on, a byte each.
const WaiterPassed = uint64(unsafe.Offsetof(Waiter{}.since)) | uint64(unsafe.Offsetof(Waiter{}.counted))<<8

// NewWaiter begins an acquire of a lock by a goroutine. It gives up at deadline (monotonic nanoseconds,
// or Forever).
func NewWaiter(word *uint32, deadline int64) Waiter {
	return Waiter{word: word, deadline: deadline, patience: goroutinePatience}
}

func (w *Waiter) cell() Cell { return Cell{w.word, w.semaphore} }

// Next takes the reason and decides the next action. A Python thread calls it with the GIL: a lock that
// is taken without the GIL is held while its owner waits for the GIL, and everybody behind it waits as
// well, the convoy of "The convoy phenomenon" (Blasgen, Gray, Mitoma, Price, 1979).
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
			w.designated = w.designated || reserved(word) // it takes the place of the claimant that did not come
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

// Stay reports whether the waiter, after Changed, may sleep again without announcing anything new. It
// only reads the word, so a Python thread asks without the GIL; where the answer is no, it takes the
// GIL and calls Next.
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

// requested reports whether the waiter has asked for the lock, and keeps asking until it claims or resigns.
func (w *Waiter) requested() bool { return w.designated && w.channel == channelClaimant }

// mayClaim reports whether the waiter is a claimant and a free word is not reserved for another.
func (w *Waiter) mayClaim(old uint32) bool {
	return w.designated && (w.requested() || !handoffRequested(old))
}

// claimed is the state after this waiter has taken the lock or a permit. The claimant cannot know who
// else sleeps. Where nothing is left it sets Waiters, and the next release finds out; where a lock is
// first come, first served, that release is a hand-off as well. Where permits are left no release need
// follow: so it names the next claimant itself, and appoints it after. One that leaves its claim to the next of its line
// names that one.
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

// barged is the state after a newcomer has taken a lock or a permit: it leaves a claimant in place.
func barged(old state) state {
	next := old - permit
	if hasClaimant(old.word()) {
		return next.withFlags(old.word() & nameMask)
	}
	return next.withFlags(0)
}

// announced is the word that this waiter may sleep on, and the channel.
func (w *Waiter) announced(old uint32, at int64) (next, channel uint32) {
	threshold := handoffAfter.Load()
	next, channel = old, channelSleeper
	if w.returns {
		channel = channelReturner
	}
	switch {
	case old&Held != 0 && (w.requested() || w.designated && !handoffRequested(old) && at-w.since >= threshold):
		// It was woken, waited for the GIL, and finds that a newcomer was faster. It keeps its
		// place before all others and asks for the lock.
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

// resign ends the wait without the lock and pays the debt of a claimant: either the holder's release
// will wake another, or another is woken now. Without a debt it does nothing, and neither where another
// has asked: that one comes, and has the same debt.
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

// Release frees a held lock, or adds n permits to a semaphore. It reports false when the lock was free,
// or the semaphore would have more than most. It is called when the word says more than Held, or by those
// who have no fast path. Only one that looks reads the clock, with a claimant on its way.
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
			// Permits were left: who is to be woken for them is under way, or nobody sleeps.
			if c.compareAndSwap(old, next) {
				return true
			}
		case hasClaimant(word) && (word&Handoff != 0 || shouldCheckClock && due(word)):
			if c.compareAndSwap(old, next.withFlags(word|Handoff)) {
				// It may be awake: then nobody sleeps on this channel, and it will come.
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

// appoint wakes a sleeper. The word already names a claimant; it is the one woken here. When nobody
// sleeps, the name is taken back: newcomers that went to sleep meanwhile have trusted it, so one of
// them is woken after.
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

// wakeFirst wakes the first of all who sleep on the word and reports whether there was one.
func wakeFirst(word *uint32) bool {
	return wake(word, channelReturner|channelClaimant) || wake(word, channelAny)
}

// TryAcquire takes the lock or a permit, if there is one and it is not reserved. Where nobody barges, it is for those who
// stand in the line first.
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

// Locked reports whether a newcomer would find nothing to take.
func (c Cell) Locked() bool { return taken(c.load().word()) }
