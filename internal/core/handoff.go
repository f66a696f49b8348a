package core

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"
)

// DefaultHandoff is the initial hand-off threshold. docs/design.md has the measurements behind it.
const DefaultHandoff = time.Millisecond

var handoffAfter atomic.Int64

// What keeps goroutines off their fast paths. C writes the latter.
const (
	slowOrder  = 1 << 0 // waiters come before newcomers: the threshold is 0
	SlowOwners = 1 << 1 // golock.sight records owners
)

var slow atomic.Uint32

// SlowCell returns the memory of the bits above.
func SlowCell() *uint32 { return (*uint32)(unsafe.Pointer(&slow)) }

// Fast reports whether a goroutine may take a free lock, and nothing else is to be done.
func Fast() bool { return slow.Load() == 0 }

// OwnersRecorded reports whether golock.sight records owners.
func OwnersRecorded() bool { return slow.Load()&SlowOwners != 0 }

func init() { handoffAfter.Store(int64(DefaultHandoff)) }

// SetHandoff sets the threshold. Package golock has the documentation.
func SetHandoff(after time.Duration) {
	threshold := min(max(int64(after), 0), math.MaxInt64/2)
	handoffAfter.Store(threshold)
	if threshold == 0 {
		slow.Or(slowOrder)
	} else {
		slow.And(^uint32(slowOrder))
	}
}

// Barging reports whether newcomers may go before waiters.
func Barging() bool { return handoffAfter.Load() != 0 }

// HandoffAfter returns the threshold set by [SetHandoff].
func HandoffAfter() time.Duration { return time.Duration(handoffAfter.Load()) }

// A woken Python thread has to wait for the GIL. Meanwhile the thread that has the GIL goes on
// taking and releasing the lock, because its releases see that a claimant is on its way. That makes
// the rate high, but it must end some time, and only the releasing thread is sure to run. So every
// 16th release checks the clock. When the hand-off is due, the release reserves the lock for the
// claimant. The releasing thread then blocks in its next acquire, which gives the claimant the GIL
// as well.
//
// The time for which newcomers may go first is a tenure. It is at least the threshold, so a lock
// with n waiters goes round in n tenures. With few waiters tenures are longer, which saves
// hand-offs, but the lock still goes round in about LongestRound thresholds.
//
// C computes the same for Python's threads.
const (
	LongestTenure = 4
	LongestRound  = 32
)

// The due time in the word reaches up to dueLimit, 8.3 ms, into the future. A time further past
// counts as one to come. A longer threshold is not in the word at all: the claimant then requests
// the lock itself, once it has the GIL, after the interpreter's switch interval.
const (
	dueUnit  = 17
	dueLimit = int64(1<<(dueBits-1)-1) << dueUnit
)

// DueLayout is the place of the due time in the word, and its unit; C compares it with its own.
const DueLayout = dueShift | dueBits<<8 | dueUnit<<16

// claimantBits returns the bits that name a claimant of this process, with its due time.
func claimantBits(word *uint32) uint32 {
	threshold := min(handoffAfter.Load(), dueLimit)
	round := LongestRound * threshold / int64(max(atomic.LoadInt32(waiting(word)), 1))
	tenure := min(max(round, threshold), LongestTenure*threshold, dueLimit)
	return self | uint32((now()+tenure)>>dueUnit)<<dueShift&dueMask
}

// due reports whether the hand-off to the claimant named in the word is due.
func due(word uint32) bool {
	if handoffAfter.Load() > dueLimit {
		return false
	}
	left := (int64(word&dueMask>>dueShift) - now()>>dueUnit) & (1<<dueBits - 1)
	return left == 0 || left >= 1<<(dueBits-1)
}

// releasesPerCheck is the average number of releases of goroutines for one check of the clock.
// Random numbers cost less than a shared counter.
const releasesPerCheck = 16

// ShouldCheckClock reports whether one release of a goroutine is to check the clock.
func ShouldCheckClock() bool { return rand.Uint32()%releasesPerCheck == 0 }

// waiting returns the counter of a word's waiters. Words may share a counter. The count is an
// estimate for the tenure: a waiter that dies stays counted.
func waiting(word *uint32) *int32 {
	return &waitingFor[uintptr(unsafe.Pointer(word))>>2%Counters]
}

// Counters is the number of counters of waiters.
const Counters = 256

var waitingFor [Counters]int32

// WaitingCells returns the counters of waiters for C, which accesses them atomically.
func WaitingCells() *[Counters]int32 { return &waitingFor }

// HandoffCell returns the memory of the threshold for C, which accesses it atomically.
func HandoffCell() *int64 { return (*int64)(unsafe.Pointer(&handoffAfter)) }
