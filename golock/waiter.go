package golock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Waiter is one acquire that could not be served at once. It is a state machine that never sleeps by
// itself: Next says what to do, and whoever drives it, a Python thread on its own C stack or a
// goroutine, sleeps with Park and comes back with what happened. So there is one slow path for all
// kinds of waiters, and the algorithm stays apart from the ways of sleeping.
//
// The layout is mirrored by struct golock_waiter in pyext/golock.h.
type Waiter struct {
	word     *uint32
	deadline int64 // monotonic nanoseconds, or Forever

	// impatient is set for a waiter that must not trust a reservation for ever: see "A claimant that
	// does not come" in word.go.
	impatient bool

	since int64 // when the acquire began; set by the first Next

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
	Entered     Event = iota // the first call, and every call after Claim or an interruption
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
	Claim                  // call Next(Entered) again in a state in which the lock may be taken
	TimedOut               // the deadline has passed, the lock is not taken
	Aborted                // the answer to Interrupted: the lock is not taken, nothing is owed
)

// The longest that an impatient waiter trusts a reservation. Long beside any wait for the GIL that a
// healthy program has.
const reservationLimit = int64(100 * time.Millisecond)

// WaiterLayout is the size of a Waiter and the offsets of its fields but the first, a byte each; C
// compares it with its own.
const WaiterLayout = unsafe.Sizeof(Waiter{}) |
	unsafe.Offsetof(Waiter{}.deadline)<<8 |
	unsafe.Offsetof(Waiter{}.impatient)<<16 |
	unsafe.Offsetof(Waiter{}.value)<<24 |
	unsafe.Offsetof(Waiter{}.channel)<<32 |
	unsafe.Offsetof(Waiter{}.until)<<40 |
	unsafe.Offsetof(Waiter{}.owes)<<48 |
	unsafe.Offsetof(Waiter{}.returns)<<56

// NewWaiter begins an acquire of word by a goroutine. It gives up at deadline (monotonic nanoseconds,
// or Forever).
func NewWaiter(word *uint32, deadline int64) Waiter {
	return Waiter{word: word, deadline: deadline, impatient: true}
}

// Next takes the event and decides the next action. Where mayClaim is false, the lock is not taken:
// a Python thread without the GIL would hold it while it waits for the GIL, and everybody behind it
// would wait as well, the convoy described in "The convoy phenomenon" (Blasgen, Gray, Mitoma, Price,
// 1979). It makes itself the claimant instead and returns Claim. A woken waiter is told to come back
// at once: it takes the GIL first and looks at the word then.
func (w *Waiter) Next(event Event, mayClaim bool) Action {
	if w.since == 0 {
		w.since = now()
	}
	action := w.decide(event, mayClaim)
	switch {
	case action == Park && !w.counted:
		w.counted = true
		waiting(w.word).Add(1)
	case action != Park && action != Claim && w.counted:
		w.counted = false
		waiting(w.word).Add(-1)
	}
	return action
}

func (w *Waiter) decide(event Event, mayClaim bool) Action {
	switch event {
	case Woken:
		w.owes, w.returns = true, true
		if !mayClaim {
			return Claim
		}
	case Interrupted:
		w.returns = true
		w.Resign()
		return Aborted
	case Expired:
		w.returns = true
	}
	for {
		old := atomic.LoadUint32(w.word)
		if old&Held == 0 && (w.owes || !reserved(old) || w.outlived(event)) {
			if mayClaim {
				if atomic.CompareAndSwapUint32(w.word, old, w.claimed(old)) {
					w.owes = false
					return Acquired
				}
				continue
			}
			if w.owes {
				return Claim
			}
			if !hasClaimant(old) || reserved(old) {
				if atomic.CompareAndSwapUint32(w.word, old, old&^(nameMask|Waiters)|name(w.word)) {
					w.owes = true
					return Claim
				}
				continue
			}
		}
		at := now()
		if at >= w.deadline {
			w.Resign()
			return TimedOut
		}
		if w.prepare(old, at) {
			return Park
		}
	}
}

// claimed is the word after this waiter has taken the lock. The claimant cannot know who else sleeps,
// so it leaves Waiters set and its own release finds out; where the lock is first come, first served,
// that release is a hand-off as well. Anyone else leaves a claimant in place.
func (w *Waiter) claimed(old uint32) uint32 {
	switch {
	case w.owes && handoffAfter.Load() == 0:
		return Held | Waiters | Handoff
	case w.owes:
		return Held | Waiters
	case hasClaimant(old):
		return old | Held
	default:
		return Held
	}
}

// outlived reports whether this waiter has seen a reservation through to its limit.
func (w *Waiter) outlived(event Event) bool {
	return event == Expired && reserved(w.value) && now() >= w.until && w.until < w.deadline
}

// prepare announces in the word that this waiter is about to sleep, and fills in how. It returns
// false when the word has changed meanwhile.
func (w *Waiter) prepare(old uint32, at int64) bool {
	threshold := handoffAfter.Load()
	next, channel, until, owes := old, uint32(channelSleeper), Forever, false
	if w.returns {
		channel = channelReturner
	}
	switch {
	case w.owes && at-w.since >= threshold:
		// It was woken, waited for the GIL, and finds that a newcomer was faster. It keeps its
		// place before all sleepers and asks for the lock.
		next = old&^(nameMask|Waiters) | Handoff | self
		channel, owes = channelClaimant, true
	case old&Held == 0:
		// A claimant of this process is named: it will set Waiters.
		if w.impatient {
			until = at + reservationLimit
		}
	case w.owes || !hasClaimant(old):
		next = old&^nameMask | Waiters
	}
	if threshold == 0 {
		next |= Handoff
	}
	if next != old && !atomic.CompareAndSwapUint32(w.word, old, next) {
		return false
	}
	w.value, w.channel, w.until, w.owes = next, channel, min(until, w.deadline), owes
	return true
}

// Resign ends the wait without the lock and pays the debt of a claimant: either the holder's release
// will wake another, or another is woken now. Without a debt it does nothing.
func (w *Waiter) Resign() {
	if !w.owes {
		return
	}
	w.owes = false
	for {
		old := atomic.LoadUint32(w.word)
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
			if atomic.CompareAndSwapUint32(word, old, Handoff|old&nameMask) {
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
func wakeFirst(word *uint32) bool { return wake(word, channelReturner) || wake(word, channelAny) }

// tryAcquire takes the lock if it is neither held nor reserved.
func tryAcquire(word *uint32) bool {
	for {
		old := atomic.LoadUint32(word)
		if old&Held != 0 || reserved(old) {
			return false
		}
		next := uint32(Held)
		if hasClaimant(old) {
			next = old | Held
		}
		if atomic.CompareAndSwapUint32(word, old, next) {
			return true
		}
	}
}

// locked reports whether a newcomer would find the lock taken.
func locked(word *uint32) bool {
	old := atomic.LoadUint32(word)
	return old&Held != 0 || reserved(old)
}
