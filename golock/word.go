package golock

// The lock word.
//
// A lock is 32 bits. Everything two parties must agree on is in these bits: C, Go, and a second Go
// runtime in the same process all work on the same word, and sleep on its address in the kernel.
// Nothing about a lock is kept anywhere else.
//
//	 31                    10 9        3    2         1        0
//	┌────────────────────────┬──────────┬─────────┬─────────┬──────┐
//	│ claimant (a process id)│  tenure  │ handoff │ waiters │ held │
//	└────────────────────────┴──────────┴─────────┴─────────┴──────┘
//
// Held: somebody has the lock. Cleared only by a release.
//
// Waiters: somebody may be asleep on the word, and nobody is known to be on the way. Legal to set
// when nobody sleeps (the next release then wakes nobody and clears it); illegal to leave clear when
// somebody sleeps, unless a claimant is named. A free word never has it.
//
// Claimant: a waiter has been woken, or has woken by itself, and is on its way to take the lock. At
// most one is under way, so releases need not wake another: while it is named, an acquire and a
// release are one compare-and-swap each. The claimant owes something in return: when it takes the
// lock it sets Waiters, because it cannot know whether others sleep; when it gives up, it wakes
// another in its place or sets Waiters. What is stored is the id of the process the claimant lives
// in. In a child made by fork the waiters of the parent do not exist, and a word copied with a
// claimant of another process names nobody.
//
// Handoff: the next release must not let a newcomer in. Set on a held word by a waiter that has
// waited longer than the threshold. Handoff on a free word is a reservation: only the claimant may
// take it.
//
// Tenure: when the lock was last claimed by a waiter, in units of 2^17 ns modulo 128. It spaces
// hand-offs: see tenure.go. No rule of correctness reads it.
//
//	held  waiters  handoff  claimant   the lock is
//	 -       -        -        -       free
//	 -       -        -        yes     free; a claimant is on its way, a newcomer may barge
//	 -       -        yes      yes     reserved for the claimant
//	 -       -        yes      -       free (a reservation copied by fork, or one just taken back)
//	 yes     -        -        -       held
//	 yes     yes      -        -       held; the release wakes a sleeper, which becomes the claimant
//	 yes     -        -        yes     held; the claimant is awake and will look again
//	 yes     any      yes      -       held; the release reserves the lock and wakes a sleeper
//	 yes     -        yes      yes     held; the release reserves the lock for the claimant, and
//	                                   wakes it if it sleeps
//
// Sleeping. A waiter sleeps by FUTEX_WAIT_BITSET on the word, with the value it last read or wrote:
// if the word has changed since, the kernel does not let it sleep. It sleeps on one of two channels,
// the futex bitset: as a sleeper, or as a claimant that found the lock held and asked for a
// hand-off. The kernel wakes the sleepers of one word in the order in which they went to sleep, and
// accounts exactly: a wake that reports one woken thread is returned to exactly one waiter as
// success, never as a time-out or an interruption.
//
// Where such protocols break, and what this one does:
//
//   - A wake meets a waiter that times out or is interrupted. Whoever the kernel reports as woken has
//     the claimant's debt, whatever else happens to it: it claims, or it resigns.
//   - A reservation nobody can claim. The releaser names the claimant before it wakes one; if the
//     kernel woke nobody, the releaser takes the name back, and then wakes once more, for whoever
//     went to sleep in between trusting the name.
//   - A wake that was meant for another lock that lived at this address. The waiter takes it for a
//     real one, finds the lock held, and sleeps again; the word never depends on who it is.
//   - A claimant that dies. A waiter that finds the lock reserved sleeps with a limit; when the
//     reservation outlives it, the waiter makes itself the claimant.
const (
	Held    = 1 << 0
	Waiters = 1 << 1
	Handoff = 1 << 2

	tenureShift = 3
	tenureBits  = 7
	tenureMask  = (1<<tenureBits - 1) << tenureShift

	ClaimantShift = 10 // Linux process ids have at most 22 bits (PID_MAX_LIMIT in linux/threads.h).
	ClaimantMask  = 1<<32 - 1<<ClaimantShift
)

// The channels on which a waiter sleeps.
const (
	channelSleeper  = 1 << 0
	channelClaimant = 1 << 1
	channelCancel   = 1 << 2 // added by a waiter whose context can end
	channelAny      = 1<<32 - 1
)

// hasClaimant reports whether a waiter of this process is on its way.
func hasClaimant(word uint32) bool { return word&ClaimantMask == self }

// reserved reports whether the word is free for the claimant alone.
func reserved(word uint32) bool { return word&(Held|Handoff) == Handoff && hasClaimant(word) }
