package golock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Waiter is one acquire that could not be served at once. It is a state machine that never sleeps by
// itself: Next says what to do, and whoever drives it, a Python thread on its own C stack or a
// goroutine, sleeps when told to Park and comes back with what happened. So there is one slow path for
// all kinds of waiters, and the algorithm stays apart from the ways of sleeping.
//
// The layout is mirrored by struct golock_waiter in pyext/golock.h.
type Waiter struct {
	word     *uint32
	deadline int64 // monotonic nanoseconds, or Forever

	// patience is how long to trust a reservation, in nanoseconds, or 0 for ever: see "A claimant that
	// does not come" in word.go.
	patience int64

	since int64 // when the first Next was called

	// Where and how to sleep after Next returned Park.
	value   uint32 // the word must still be this
	channel uint32
	until   int64 // monotonic nanoseconds, or Forever

	owes    bool // the debt of a claimant: claim or resign
	returns bool // has slept before, and goes before those that came later
	counted bool // among the waiters of its word
}

// Forever is the deadline of a waiter that waits without limit.
const Forever = int64(1<<63 - 1)

// Event tells Next what happened since it last answered.
type Event int32

// The events.
const (
	Entered     Event = iota // the first call, and the first after Aborted
	Woken                    // the kernel says that a wake was meant for this waiter
	Changed                  // the word was no longer the expected value
	Expired                  // the time in until has come
	Interrupted              // a signal arrived
)

// Action is what Next wants done.
type Action int32

// The actions.
const (
	Acquired Action = iota // the lock is taken
	Park                   // sleep, then call Next with the event
	TimedOut               // the deadline has passed, the lock is not taken
	Aborted                // the answer to Interrupted: the lock is not taken, nothing is owed
)

// A goroutine's patience. Long beside any wait for the GIL that a healthy program has.
const goroutinePatience = int64(100 * time.Millisecond)

// WaiterLayout is the size of a Waiter and the offsets of the fields that C shares, a byte each; C
// compares it with its own.
const WaiterLayout = unsafe.Sizeof(Waiter{}) |
	unsafe.Offsetof(Waiter{}.deadline)<<8 |
	unsafe.Offsetof(Waiter{}.patience)<<16 |
	unsafe.Offsetof(Waiter{}.value)<<24 |
	unsafe.Offsetof(Waiter{}.channel)<<32 |
	unsafe.Offsetof(Waiter{}.until)<<40 |
	unsafe.Offsetof(Waiter{}.owes)<<48 |
	unsafe.Offsetof(Waiter{}.returns)<<56

// NewWaiter begins an acquire of word by a goroutine. It gives up at deadline (monotonic nanoseconds,
// or Forever).
func NewWaiter(word *uint32, deadline int64) Waiter {
	return Waiter{word: word, deadline: deadline, patience: goroutinePatience}
}

// Next takes the event and decides the next action. A Python thread calls it with the GIL: a lock that
// is taken without the GIL is held while its owner waits for the GIL, and everybody behind it waits as
// well, the convoy of "The convoy phenomenon" (Blasgen, Gray, Mitoma, Price, 1979).
func (w *Waiter) Next(event Event) Action {
	if w.since == 0 {
		w.since = now()
	}
	action := w.decide(event)
	switch {
	case action == Park && !w.counted:
		w.counted = true
		waiting(w.word).Add(1)
	case action != Park && w.counted:
		w.counted = false
		waiting(w.word).Add(-1)
	}
	return action
}

func (w *Waiter) decide(event Event) Action {
	switch event {
	case Woken:
		w.owes, w.returns = true, true
	case Expired:
		w.returns = true
	case Interrupted:
		w.returns = true
		w.resign()
		return Aborted
	}
	outlived := event == Expired && reserved(w.value) && now() < w.deadline
	for {
		old := atomic.LoadUint32(w.word)
		if old&Held == 0 && (w.meant(old) || outlived || !reserved(old)) {
			w.owes = w.owes || reserved(old) // it takes the place of the claimant that did not come
			if atomic.CompareAndSwapUint32(w.word, old, w.claimed(old)) {
				w.owes = false
				return Acquired
			}
			continue
		}
		at := now()
		if at >= w.deadline {
			w.resign()
			return TimedOut
		}
		next, channel := w.announced(old, at)
		if next == old || atomic.CompareAndSwapUint32(w.word, old, next) {
			w.value, w.channel, w.until = next, channel, w.deadline
			w.owes = channel == channelClaimant
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
	old := atomic.LoadUint32(w.word)
	if old&Held == 0 && (w.meant(old) || !hasClaimant(old)) {
		return false
	}
	if next, channel := w.announced(old, now()); next != old || channel != w.channel {
		return false
	}
	w.value = old
	return true
}

// asks reports whether the waiter has asked for the lock, and keeps asking until it claims or resigns.
func (w *Waiter) asks() bool { return w.owes && w.channel == channelClaimant }

// meant reports whether the waiter is a claimant and a free word is not reserved for another.
func (w *Waiter) meant(old uint32) bool { return w.owes && (w.asks() || !asked(old)) }

// claimed is the word after this waiter has taken the lock. The claimant cannot know who else sleeps,
// so it leaves Waiters set and its own release finds out; where the lock is first come, first served,
// that release is a hand-off as well.
func (w *Waiter) claimed(old uint32) uint32 {
	switch {
	case w.owes && handoffAfter.Load() == 0:
		return Held | Waiters | Handoff
	case w.owes:
		return Held | Waiters
	default:
		return barged(old)
	}
}

// barged is the word after a newcomer has taken the lock: it leaves a claimant in place.
func barged(old uint32) uint32 {
	if hasClaimant(old) {
		return old&nameMask | Held
	}
	return Held
}

// announced is the word that this waiter may sleep on, and the channel.
func (w *Waiter) announced(old uint32, at int64) (next, channel uint32) {
	threshold := handoffAfter.Load()
	next, channel = old, channelSleeper
	if w.returns {
		channel = channelReturner
	}
	switch {
	case old&Held != 0 && (w.asks() || w.owes && !asked(old) && at-w.since >= threshold):
		// It was woken, waited for the GIL, and finds that a newcomer was faster. It keeps its
		// place before all others and asks for the lock.
		next, channel = Held|Waiters|Handoff|old&dueMask|self, channelClaimant
	case old&Held == 0 || asked(old):
		// The claimant that the word names will set Waiters.
	case w.owes || !hasClaimant(old):
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
	if !w.owes {
		return
	}
	asks := w.asks()
	w.owes = false
	for {
		old := atomic.LoadUint32(w.word)
		if asked(old) && !asks {
			return
		}
		if old&Held != 0 {
			if atomic.CompareAndSwapUint32(w.word, old, old&^nameMask|Waiters) {
				return
			}
			continue
		}
		if atomic.CompareAndSwapUint32(w.word, old, old&Handoff|self) {
			appoint(w.word)
			return
		}
	}
}

// release frees a held lock, and reports false when it was free. It is called when the word says
// more than Held, or by those who have no fast path.
func release(word *uint32) bool {
	for {
		old := atomic.LoadUint32(word)
		switch {
		case old&Held == 0:
			return false
		case hasClaimant(old) && (old&Handoff != 0 || due(old)):
			if atomic.CompareAndSwapUint32(word, old, old&^Held|Handoff) {
				// It may be awake: then nobody sleeps on this channel, and it will come.
				wake(word, channelClaimant)
				return true
			}
		case hasClaimant(old):
			if atomic.CompareAndSwapUint32(word, old, old&nameMask) {
				return true
			}
		case old&(Handoff|Waiters) != 0:
			if atomic.CompareAndSwapUint32(word, old, old&Handoff|name(word)) {
				appoint(word)
				return true
			}
		default:
			if atomic.CompareAndSwapUint32(word, old, 0) {
				return true
			}
		}
	}
}

// appoint wakes a sleeper. The word already names a claimant; it is the one woken here. When nobody
// sleeps, the name is taken back: newcomers that went to sleep meanwhile have trusted it, so one of
// them is woken after.
func appoint(word *uint32) {
	if wakeFirst(word) {
		return
	}
	for {
		old := atomic.LoadUint32(word)
		if asked(old) {
			return
		}
		next := uint32(0)
		if old&Held != 0 {
			next = old&^nameMask | Waiters
		}
		if atomic.CompareAndSwapUint32(word, old, next) {
			break
		}
	}
	wakeFirst(word)
}

// wakeFirst wakes the first of all who sleep on the word and reports whether there was one.
func wakeFirst(word *uint32) bool {
	return wake(word, channelReturner|channelClaimant) || wake(word, channelAny)
}

// tryAcquire takes the lock if it is neither held nor reserved.
func tryAcquire(word *uint32) bool {
	for {
		old := atomic.LoadUint32(word)
		if taken(old) {
			return false
		}
		if atomic.CompareAndSwapUint32(word, old, barged(old)) {
			return true
		}
	}
}

// locked reports whether a newcomer would find the lock taken.
func locked(word *uint32) bool { return taken(atomic.LoadUint32(word)) }
