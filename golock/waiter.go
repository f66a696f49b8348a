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
	since    int64 // when the acquire began; set by the first Next

	// Where and how to sleep after Next returned Park.
	value   uint32 // the word must still be this
	channel uint32
	until   int64 // monotonic nanoseconds, or Forever

	owes uint32 // the debt of a claimant: claim or resign
	aged uint32 // has waited longer than the threshold once
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

// The longest that a waiter trusts a reservation whose claimant does not come: see "A claimant that
// dies". Long beside any wait for the GIL that a healthy program has.
const reservationLimit = int64(100 * time.Millisecond)

// WaiterLayout is the size of a Waiter and the offsets of its fields but the first, a byte each; C
// compares it with its own.
const WaiterLayout = unsafe.Sizeof(Waiter{}) |
	unsafe.Offsetof(Waiter{}.deadline)<<8 |
	unsafe.Offsetof(Waiter{}.since)<<16 |
	unsafe.Offsetof(Waiter{}.value)<<24 |
	unsafe.Offsetof(Waiter{}.channel)<<32 |
	unsafe.Offsetof(Waiter{}.until)<<40 |
	unsafe.Offsetof(Waiter{}.owes)<<48 |
	unsafe.Offsetof(Waiter{}.aged)<<56

// NewWaiter begins an acquire of word that gives up at deadline (monotonic nanoseconds, or Forever).
func NewWaiter(word *uint32, deadline int64) Waiter {
	return Waiter{word: word, deadline: deadline}
}

// Next takes the event and decides the next action. Where mayClaim is false, the lock is not taken:
// a Python thread without the GIL would hold it while it waits for the GIL, and everybody behind it
// would wait as well, the convoy described in "The convoy phenomenon" (Blasgen, Gray, Mitoma, Price,
// 1979). It makes itself the claimant instead and returns Claim.
func (w *Waiter) Next(event Event, mayClaim bool) Action {
	if w.since == 0 {
		w.since = now()
	}
	switch event {
	case Woken:
		w.owes = 1
	case Interrupted:
		w.Resign()
		return Aborted
	}
	for {
		old := atomic.LoadUint32(w.word)
		if old&Held == 0 && (w.owes != 0 || !reserved(old) || w.outlived(event)) {
			if mayClaim {
				if atomic.CompareAndSwapUint32(w.word, old, w.claimed(old)) {
					w.owes = 0
					return Acquired
				}
				continue
			}
			if w.owes != 0 {
				return Claim
			}
			if !hasClaimant(old) || reserved(old) {
				if atomic.CompareAndSwapUint32(w.word, old, old&^(ClaimantMask|Waiters)|self) {
					w.owes = 1
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
	case w.owes != 0 && handoffAfter.Load() == 0:
		return Held | Waiters | Handoff
	case w.owes != 0:
		return Held | Waiters
	case hasClaimant(old):
		return old | Held
	default:
		return Held
	}
}

// outlived reports whether this waiter has seen a reservation through to its limit.
func (w *Waiter) outlived(event Event) bool {
	return event == Expired && w.value&(Held|Handoff) == Handoff && w.until != w.deadline &&
		w.until-w.since >= reservationLimit
}

// prepare announces in the word that this waiter is about to sleep, and fills in how. It returns
// false when the word has changed meanwhile.
func (w *Waiter) prepare(old uint32, at int64) bool {
	limit := handoffAfter.Load()
	aged := at-w.since >= limit
	next := old
	channel := uint32(channelSleeper)
	until := Forever
	stillOwes := uint32(0)

	switch {
	case w.owes != 0 && aged:
		// It was woken, waited for the GIL, and finds that a newcomer was faster. It keeps its
		// place before all sleepers and asks for the lock.
		next = old&^(ClaimantMask|Waiters) | Handoff | self
		channel = channelClaimant
		stillOwes = 1
	case w.owes != 0:
		// Too young to ask: the claim is given up for an ordinary place.
		next = old&^ClaimantMask | Waiters
	case old&Held != 0 && !hasClaimant(old):
		next = old&^ClaimantMask | Waiters
	}
	if stillOwes == 0 {
		switch {
		case !aged:
			// Comes back once, to ask for the hand-off.
			until = w.since + limit
		case w.aged == 0:
			next |= Handoff
		}
		if next&Held == 0 && aged {
			// A free word names a claimant, and claimants can die.
			until = at + reservationLimit
		}
	}
	if next != old && !atomic.CompareAndSwapUint32(w.word, old, next) {
		return false
	}
	w.owes = stillOwes
	if aged {
		w.aged = 1
	}
	w.value, w.channel, w.until = next, channel, min(until, w.deadline)
	return true
}

// Resign ends the wait without the lock and pays the debt of a claimant: either the holder's release
// will wake another, or another is woken now. Without a debt it does nothing.
func (w *Waiter) Resign() {
	if w.owes == 0 {
		return
	}
	w.owes = 0
	for {
		old := atomic.LoadUint32(w.word)
		if old&Held != 0 {
			if atomic.CompareAndSwapUint32(w.word, old, old&^ClaimantMask|Waiters) {
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
		case old&Handoff != 0 && hasClaimant(old):
			if atomic.CompareAndSwapUint32(word, old, Handoff|self) {
				// It may be awake: then nobody sleeps on this channel, and it will come.
				wake(word, channelClaimant)
				return true
			}
		case old&(Handoff|Waiters) != 0 && !hasClaimant(old):
			if atomic.CompareAndSwapUint32(word, old, old&Handoff|self) {
				appoint(word)
				return true
			}
		default:
			next := uint32(0)
			if hasClaimant(old) {
				next = self
			}
			if atomic.CompareAndSwapUint32(word, old, next) {
				return true
			}
		}
	}
}

// appoint wakes a sleeper. The word already names a claimant; it is the one woken here. When nobody
// sleeps, the name is taken back: newcomers that went to sleep meanwhile have trusted it, so one of
// them is woken after.
func appoint(word *uint32) {
	if wake(word, channelAny) {
		return
	}
	for {
		old := atomic.LoadUint32(word)
		next := uint32(0)
		if old&Held != 0 {
			next = old&^ClaimantMask | Waiters
		}
		if atomic.CompareAndSwapUint32(word, old, next) {
			break
		}
	}
	wake(word, channelAny)
}

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
