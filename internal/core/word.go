package core

// The lock word.
//
// A lock is 32 bits. They hold everything that its users must agree on, and its waiters sleep on
// its address in the kernel: C and Go, and several Go runtimes in one process. What is kept
// elsewhere (a count of waiters, a count of releases) affects when the lock is handed over, not to
// whom.
//
//	 31                    10 9        3    2         1        0
//	┌────────────────────────┬──────────┬─────────┬─────────┬──────┐
//	│ claimant (a process id)│   due    │ handoff │ waiters │ held │
//	└────────────────────────┴──────────┴─────────┴─────────┴──────┘
//
// Held: somebody has the lock. Only a release clears it.
//
// Waiters: somebody may be asleep on the word, and nobody is known to be on the way. It may be set
// while nobody sleeps; the next release then wakes nobody and clears it. It must be set while
// somebody sleeps, unless a claimant is named. With a claimant and Handoff it means something else:
// the claimant has requested the lock. Only then may it be set in a free word.
//
// Claimant: a waiter has been woken and is on its way to take the lock. While one is named,
// releases wake nobody, so an acquire and a release are one change of the word each. In return the
// claimant has a debt. When it takes the lock it sets Waiters, because it does not know whether
// others sleep; a goroutine with others in line behind it may leave its name and its debt to the
// next of them instead. When it gives up, it wakes another waiter or sets Waiters. The bits hold
// the id of the claimant's process. In a child made by fork the parent's waiters do not exist, and
// a copied name of another process names nobody.
//
// Handoff: the next release must not let a newcomer in. On a free word it is a reservation: only a
// claimant may take the lock and, once one has requested it, only that one.
//
// Due: when the lock is to be handed to a claimant that is still on its way, in units of 2^17 ns
// modulo 128: see handoff.go.
//
//	held  waiters  handoff  claimant   the lock is
//	 -       -        -        -       free
//	 -       -        -        yes     free; a claimant is on its way, a newcomer may barge
//	 -       -        yes      yes     reserved for the claimant
//	 -       yes      yes      yes     reserved for the claimant that has requested it
//	 -       -        yes      -       free (a reservation copied by fork)
//	 yes     -        -        -       held
//	 yes     yes      -        -       held; the release wakes a sleeper, which becomes the claimant
//	 yes     -        -        yes     held; the claimant is awake and will look again; the release
//	                                   reserves the lock for it once the hand-off is due
//	 yes     any      yes      -       held; the release reserves the lock and wakes a sleeper
//	 yes     -        yes      yes     held; the release reserves the lock for the claimant
//	 yes     yes      yes      yes     held; the claimant has requested it, and sleeps or is about
//	                                   to; the release reserves the lock for it and wakes it
//
// Sleeping. A waiter sleeps by FUTEX_WAIT_BITSET on the word, with the value that it last read or
// wrote: the kernel refuses the sleep if the word has changed. It sleeps on one of three channels,
// bits of the futex bitset: as a sleeper; as a returner, which has slept before and is woken before
// all sleepers; or as a claimant that found the lock held and requested a hand-off. The kernel
// wakes the waiters on one channel in the order in which they went to sleep (threads of a real-time
// priority first). It accounts exactly: for each thread that a wake reports as woken, exactly one
// wait returns success, and never a time-out or an interruption.
//
// A Python thread that is notified at a condition sleeps on a word of its own, and is moved to this
// one. Whoever moves it announces it afterwards. A thread that releases the lock in order to sleep
// may wake the claimant that it has named a little later, after it has dropped the GIL.
//
// Where such protocols fail, and what this one does:
//
//   - A wake races with a time-out or an interruption. A waiter that the kernel reports as woken
//     has the debt of a claimant, whatever else happens to it: it claims or resigns.
//   - A reservation that nobody can claim. The releaser names the claimant before it wakes one. If
//     the kernel woke nobody, the releaser takes the name back, and then wakes once more, for a
//     waiter that went to sleep in between because it relied on the name.
//   - Two claimants. One that resigns, and a releaser that takes a name back, wake a waiter while
//     another may be on its way already. The same one of the two could come too late each time, so
//     only the claimant that has requested the lock may take what is reserved.
//   - A wake for another lock that had the same address. The waiter believes it, finds the lock
//     held, and sleeps again. The word never depends on which waiter that is.
//   - A claimant that does not come. A Python thread on its way waits for the GIL. While the
//     interpreter ends, only the main thread still gets it; and a goroutine may wait for the lock
//     on behalf of Python code that has the GIL. Such waiters have a patience: they wake up when it
//     ends, and one that has slept through it on a reservation replaces the claimant. All others
//     sleep on, because a waiter that wakes up and sleeps again loses its place.
const (
	Held    = 1 << 0
	Waiters = 1 << 1
	Handoff = 1 << 2

	dueShift = 3
	dueBits  = 7
	dueMask  = (1<<dueBits - 1) << dueShift

	ClaimantShift = 10 // Linux process ids have at most 22 bits (PID_MAX_LIMIT in linux/threads.h).
	ClaimantMask  = 1<<32 - 1<<ClaimantShift

	nameMask = ClaimantMask | dueMask
)

// The channels on which a waiter sleeps.
const (
	channelSleeper  = 1 << 0
	channelReturner = 1 << 1
	channelClaimant = 1 << 2
	channelCancel   = 1 << 3 // added by a waiter whose context can end
	channelAny      = 1<<32 - 1
)

// hasClaimant reports whether a waiter of this process is on its way.
func hasClaimant(word uint32) bool { return word&ClaimantMask == self }

// handoffRequested reports whether the claimant has requested the lock, so that no other may take
// it.
func handoffRequested(word uint32) bool {
	return word&(Waiters|Handoff) == Waiters|Handoff && hasClaimant(word)
}

// taken reports whether a newcomer may not have the lock.
func taken(word uint32) bool { return word&Held != 0 || reserved(word) }

// reserved reports whether the lock is free but reserved for the claimant.
func reserved(word uint32) bool { return word&(Held|Handoff) == Handoff && hasClaimant(word) }
