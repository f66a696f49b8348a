package capi

// #include "golock.h"
import "C"

import (
	"unsafe"

	"github.com/golock/golock/golock"
)

// An index other than 0 does not compile: golock.h and package golock are equal.
var (
	_ = [1]struct{}{}[golock.Version-C.GOLOCK_VERSION]
	_ = [1]struct{}{}[golock.HeaderMagic-C.GOLOCK_HEADER_MAGIC]
	_ = [1]struct{}{}[int(golock.KindLock)-C.GOLOCK_LOCK]
	_ = [1]struct{}{}[int(golock.KindSemaphore)-C.GOLOCK_SEMAPHORE]
	_ = [1]struct{}{}[int(golock.KindEvent)-C.GOLOCK_EVENT]

	_ = [1]struct{}{}[golock.Held-C.GOLOCK_HELD]
	_ = [1]struct{}{}[golock.Waiters-C.GOLOCK_WAITERS]
	_ = [1]struct{}{}[golock.Handoff-C.GOLOCK_HANDOFF]
	_ = [1]struct{}{}[golock.ClaimantShift-C.GOLOCK_CLAIMANT_SHIFT]
	_ = [1]struct{}{}[golock.ClaimantMask-C.GOLOCK_CLAIMANT_MASK]
	_ = [1]struct{}{}[golock.DueLayout-(C.GOLOCK_DUE_SHIFT|C.GOLOCK_DUE_BITS<<8|C.GOLOCK_DUE_UNIT<<16)]
	_ = [1]struct{}{}[golock.Set-C.GOLOCK_SET]
	_ = [1]struct{}{}[golock.Sleepers-C.GOLOCK_SLEEPERS]
	_ = [1]struct{}{}[golock.SetOnce-C.GOLOCK_SET_ONCE]
	_ = [1]struct{}{}[golock.EventChannel-C.GOLOCK_EVENT_CHANNEL]
	_ = [1]struct{}{}[golock.EventChannel-C.GOLOCK_SLEEPER]
	_ = [1]struct{}{}[golock.Forever-C.GOLOCK_FOREVER]
	_ = [1]struct{}{}[golock.DefaultHandoff-C.GOLOCK_DEFAULT_HANDOFF]
	_ = [1]struct{}{}[golock.LongestTenure-C.GOLOCK_LONGEST_TENURE]
	_ = [1]struct{}{}[golock.LongestRound-C.GOLOCK_LONGEST_ROUND]
	_ = [1]struct{}{}[golock.Counters-C.GOLOCK_COUNTERS]

	_ = [1]struct{}{}[int(golock.Entered)-C.GOLOCK_ENTERED]
	_ = [1]struct{}{}[int(golock.Woken)-C.GOLOCK_WOKEN]
	_ = [1]struct{}{}[int(golock.Changed)-C.GOLOCK_CHANGED]
	_ = [1]struct{}{}[int(golock.Expired)-C.GOLOCK_EXPIRED]
	_ = [1]struct{}{}[int(golock.Interrupted)-C.GOLOCK_INTERRUPTED]

	_ = [1]struct{}{}[int(golock.Acquired)-C.GOLOCK_ACQUIRED]
	_ = [1]struct{}{}[int(golock.Park)-C.GOLOCK_PARK]
	_ = [1]struct{}{}[int(golock.TimedOut)-C.GOLOCK_TIMED_OUT]
	_ = [1]struct{}{}[int(golock.Aborted)-C.GOLOCK_ABORTED]
)

// The declarations of the header, the waiter and the semaphore have one layout: their sizes and the
// fields that C shares.
var (
	_ = [1]struct{}{}[golock.HeaderLayout-headerLayout]
	_ = [1]struct{}{}[golock.WaiterLayout-waiterLayout]
	_ = [1]struct{}{}[golock.WaiterPassed-waiterPassed]
	_ = [1]struct{}{}[unsafe.Sizeof(C.struct_golock_waiter{})-waiterFields]
	_ = [1]struct{}{}[unsafe.Sizeof(golock.Semaphore{})-unsafe.Sizeof(C.union_golock_semaphore{})]
)

const headerLayout = uint64(unsafe.Sizeof(C.struct_golock_header{})) |
	uint64(unsafe.Offsetof(C.struct_golock_header{}.version))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_header{}.kind))<<16

const waiterLayout = uint64(unsafe.Sizeof(C.struct_golock_waiter{})) |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.deadline))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.patience))<<16 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.value))<<24 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.channel))<<32 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.until))<<40 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.owes))<<48 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.semaphore))<<56

const waiterPassed = uint64(unsafe.Offsetof(C.struct_golock_waiter{}.since)) |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.counted))<<8

// waiterFields is where the last field that C names ends: what C leaves zero would be left as it was in padding.
const waiterFields = unsafe.Offsetof(C.struct_golock_waiter{}.goroutine) +
	unsafe.Sizeof(C.struct_golock_waiter{}.goroutine)
