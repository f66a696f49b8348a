package core

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"
)

// DefaultHandoff is the hand-off threshold that a program starts with. docs/design.md has the
// measurements behind it.
const DefaultHandoff = time.Millisecond

var handoffAfter atomic.Int64

func init() { handoffAfter.Store(int64(DefaultHandoff)) }

// SetHandoff sets the threshold: package golock has the documentation.
func SetHandoff(after time.Duration) {
	handoffAfter.Store(min(max(int64(after), 0), math.MaxInt64/2))
}

// Barging reports whether newcomers may go before those who wait.
func Barging() bool { return handoffAfter.Load() != 0 }

// HandoffAfter returns the threshold set by [SetHandoff].
func HandoffAfter() time.Duration { return time.Duration(handoffAfter.Load()) }

// A woken Python thread has to wait for the GIL, and the thread that has the GIL goes on taking and
// freeing the lock, undisturbed, because its releases see that a claimant is on its way. That is
// where the rate comes from. It must end some time, and nobody but the releasing thread is sure to
// run: so now and then (every 16th time, in C) it looks at the clock. When the hand-off is due, the
// lock is reserved for the claimant; the releasing thread then blocks in its next acquire, which gives
// the claimant the GIL as well.
//
// Newcomers may go first for the threshold, a tenure, at least. With n waiters a lock then goes round
// in n tenures. Few waiters can have longer ones, which cost fewer hand-offs, and still the lock goes
// round soon: in about LongestRound thresholds.
//
// C counts and reckons the same for Python's threads.
const (
	LongestTenure = 4
	LongestRound  = 32
)

// The word has room for times up to dueLimit, 8.3 ms, from now. One that is longer past is taken for one
// to come, and a longer threshold has no time at all: the claimant then asks for the lock itself, when
// it has the GIL, after the interpreter's switch interval.
const (
	dueUnit  = 17
	dueLimit = int64(1<<(dueBits-1)-1) << dueUnit
)

// DueLayout is where the time stands in the word, and its unit; C compares it with its own.
const DueLayout = dueShift | dueBits<<8 | dueUnit<<16

// claimantBits is what a claimant stands in the word with.
func claimantBits(word *uint32) uint32 {
	threshold := min(handoffAfter.Load(), dueLimit)
	round := LongestRound * threshold / int64(max(atomic.LoadInt32(waiting(word)), 1))
	tenure := min(max(round, threshold), LongestTenure*threshold, dueLimit)
	return self | uint32((now()+tenure)>>dueUnit)<<dueShift&dueMask
}

// due reports whether the lock is to be handed to the claimant named in the word.
func due(word uint32) bool {
	if handoffAfter.Load() > dueLimit {
		return false
	}
	left := (int64(word&dueMask>>dueShift) - now()>>dueUnit) & (1<<dueBits - 1)
	return left == 0 || left >= 1<<(dueBits-1)
}

// releasesPerCheck is how many releases of goroutines go, on the average, with one look at the clock. To know how many
// have gone they would have to share a counter; to throw a die costs less.
const releasesPerCheck = 16

// ShouldCheckClock decides for one release of a goroutine.
func ShouldCheckClock() bool { return rand.Uint32()%releasesPerCheck == 0 }

// waiting counts the waiters of a word, together with those of the words that share its counter. It
// is a measure for the tenure and no more: a waiter that dies is counted for ever.
func waiting(word *uint32) *int32 {
	return &waitingFor[uintptr(unsafe.Pointer(word))>>2%Counters]
}

// Counters is how many counters of waiters there are.
const Counters = 256

var waitingFor [Counters]int32

// WaitingCells returns where the waiters are counted, and HandoffCell where the threshold stands, for C, which
// accesses both atomically.
func WaitingCells() *[Counters]int32 { return &waitingFor }

// HandoffCell returns where the threshold stands: see [WaitingCells].
func HandoffCell() *int64 { return (*int64)(unsafe.Pointer(&handoffAfter)) }
