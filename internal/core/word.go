package core

// The lock word.
//
// A lock is 32 bits. Everything that its users must agree on is in these bits, and they sleep on its
// address in the kernel: C and Go, and if need be two Go runtimes in one process. What is kept
// elsewhere (a count of waiters, a count of releases) decides when to hand over, not to whom.
//
//	 31                    10 9        3    2         1        0
//	┌────────────────────────┬──────────┬─────────┬─────────┬──────┐
//	│ claimant (a process id)│   due    │ handoff │ waiters │ held │
//	└────────────────────────┴──────────┴─────────┴─────────┴──────┘
//
// Held: somebody has the lock. Cleared only by a release.
//
// Waiters: somebody may be asleep on the word, and nobody is known to be on the way. Legal to set
// when nobody sleeps (the next release then wakes nobody and clears it); illegal to leave clear when
// somebody sleeps, unless a claimant is named. Beside a claimant and Handoff it says something else: the
// claimant has asked for the lock. Only so may a free word have it.
//
// Claimant: a waiter has been woken and is on its way to take the lock. While one is named, releases
// need not wake another: an acquire and a release are one change of the word each. The claimant owes
// something in return: when it takes the lock it sets Waiters, because it cannot know whether others
// sleep, or, a goroutine with others in line behind it, leaves its name and its debt to the next of them;
// when it gives up, it wakes another in its place or sets Waiters. What is stored is the id of the
// process the claimant lives in. In a child made by fork the waiters of the parent do not exist,
// and a word copied with a claimant of another process names nobody.
//
// Handoff: the next release must not let a newcomer in. Handoff on a free word is a reservation: only
// a claimant may take it, and once one has asked, only that one.
//
// Due: when the lock is to be handed to the claimant that is still on its way, in units of 2^17 ns
// modulo 128: see handoff.go.
//
//	held  waiters  handoff  claimant   the lock is
//	 -       -        -        -       free
//	 -       -        -        yes     free; a claimant is on its way, a newcomer may barge
//	 -       -        yes      yes     reserved for the claimant
//	 -       yes      yes      yes     reserved for the claimant that has asked
//	 -       -        yes      -       free (a reservation copied by fork)
//	 yes     -        -        -       held
//	 yes     yes      -        -       held; the release wakes a sleeper, which becomes the claimant
//	 yes     -        -        yes     held; the claimant is awake and will look again; the release
//	                                   reserves the lock for it once the hand-off is due
//	 yes     any      yes      -       held; the release reserves the lock and wakes a sleeper
//	 yes     -        yes      yes     held; the release reserves the lock for the claimant
//	 yes     yes      yes      yes     held; the claimant has asked, and sleeps or is about to; the
//	                                   release reserves the lock for it and wakes it
//
// Sleeping. A waiter sleeps by FUTEX_WAIT_BITSET on the word, with the value it last read or wrote:
// if the word has changed since, the kernel does not let it sleep. It sleeps on one of three channels,
// the futex bitset: as a sleeper; as a returner, which has slept before and is woken before all
// sleepers; or as a claimant that found the lock held and asked for a hand-off. The kernel wakes the
// waiters on one channel in the order in which they went to sleep (threads of a real-time priority
// first), and accounts exactly: a wake that reports one woken thread is returned to exactly one waiter
// as success, never as a time-out or an interruption.
//
// A thread of Python's that is notified at a condition has slept on a word of its own, and is moved to this one
// in its sleep. Whoever moves it announces it after, as it would have done itself. And a thread that frees the lock
// to sleep next may wake the claimant that it has named a little later, when it has given the GIL away.
//
// Where such protocols break, and what this one does:
//
//   - A wake meets a waiter that times out or is interrupted. Whoever the kernel reports as woken has
//     the claimant's debt, whatever else happens to it: it claims, or it resigns.
//   - A reservation nobody can claim. The releaser names the claimant before it wakes one; if the
//     kernel woke nobody, the releaser takes the name back, and then wakes once more, for whoever
//     went to sleep in between trusting the name.
//   - Two claimants. One that resigns, and a releaser that takes a name back, wake somebody while
//     another may be on its way already; from then on there are two, and it could be the same one that
//     comes too late each time. So nobody else takes what is reserved for one that has asked.
//   - A wake that was meant for another lock that lived at this address. The waiter takes it for a
//     real one, finds the lock held, and sleeps again; the word never depends on who it is.
//   - A claimant that does not come. A Python thread on its way waits for the GIL. While the
//     interpreter ends, no thread but the main one gets it any more; and a goroutine that waits for the
//     lock may do so on behalf of Python code that has the GIL. Such waiters have a patience: they wake
//     when it ends, and one that slept through it on a reservation takes the claimant's place. All
//     others sleep on, because to wake and sleep again is to lose one's place.
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

// handoffRequested reports whether the claimant has asked for the lock, so that no other may take it.
func handoffRequested(word uint32) bool {
	return word&(Waiters|Handoff) == Waiters|Handoff && hasClaimant(word)
}

// taken reports whether a newcomer may not have the lock.
func taken(word uint32) bool { return word&Held != 0 || reserved(word) }

// reserved reports whether the word is free for the claimant alone.
func reserved(word uint32) bool { return word&(Held|Handoff) == Handoff && hasClaimant(word) }
