package capi

// #include "golock.h"
import "C"

import (
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// An index other than 0 does not compile: golock.h and package core are equal.
var (
	_ = [1]struct{}{}[core.Version-C.GOLOCK_VERSION]
	_ = [1]struct{}{}[core.HeaderMagic-C.GOLOCK_HEADER_MAGIC]
	_ = [1]struct{}{}[int(core.KindLock)-C.GOLOCK_LOCK]
	_ = [1]struct{}{}[int(core.KindSemaphore)-C.GOLOCK_SEMAPHORE]
	_ = [1]struct{}{}[int(core.KindEvent)-C.GOLOCK_EVENT]

	_ = [1]struct{}{}[core.Held-C.GOLOCK_HELD]
	_ = [1]struct{}{}[core.Waiters-C.GOLOCK_WAITERS]
	_ = [1]struct{}{}[core.Handoff-C.GOLOCK_HANDOFF]
	_ = [1]struct{}{}[core.ClaimantShift-C.GOLOCK_CLAIMANT_SHIFT]
	_ = [1]struct{}{}[core.ClaimantMask-C.GOLOCK_CLAIMANT_MASK]
	_ = [1]struct{}{}[core.DueLayout-dueLayout]
	_ = [1]struct{}{}[core.Set-C.GOLOCK_SET]
	_ = [1]struct{}{}[core.Sleepers-C.GOLOCK_SLEEPERS]
	_ = [1]struct{}{}[core.SetOnce-C.GOLOCK_SET_ONCE]
	_ = [1]struct{}{}[core.EventChannel-C.GOLOCK_EVENT_CHANNEL]
	_ = [1]struct{}{}[core.EventChannel-C.GOLOCK_SLEEPER]
	_ = [1]struct{}{}[core.Forever-C.GOLOCK_FOREVER]
	_ = [1]struct{}{}[core.DefaultHandoff-C.GOLOCK_DEFAULT_HANDOFF]
	_ = [1]struct{}{}[core.LongestTenure-C.GOLOCK_LONGEST_TENURE]
	_ = [1]struct{}{}[core.LongestRound-C.GOLOCK_LONGEST_ROUND]
	_ = [1]struct{}{}[core.Counters-C.GOLOCK_COUNTERS]
	_ = [1]struct{}{}[core.SlowOwners-C.GOLOCK_SLOW_OWNERS]

	_ = [1]struct{}{}[int(core.Entered)-C.GOLOCK_ENTERED]
	_ = [1]struct{}{}[int(core.Woken)-C.GOLOCK_WOKEN]
	_ = [1]struct{}{}[int(core.Changed)-C.GOLOCK_CHANGED]
	_ = [1]struct{}{}[int(core.Expired)-C.GOLOCK_EXPIRED]
	_ = [1]struct{}{}[int(core.Interrupted)-C.GOLOCK_INTERRUPTED]

	_ = [1]struct{}{}[int(core.Acquired)-C.GOLOCK_ACQUIRED]
	_ = [1]struct{}{}[int(core.Park)-C.GOLOCK_PARK]
	_ = [1]struct{}{}[int(core.TimedOut)-C.GOLOCK_TIMED_OUT]
	_ = [1]struct{}{}[int(core.Aborted)-C.GOLOCK_ABORTED]

	_ = [1]struct{}{}[sight.Magic-C.GOLOCK_SIGHT_MAGIC]
	_ = [1]struct{}{}[sight.Hello-C.GOLOCK_SIGHT_HELLO]
	_ = [1]struct{}{}[sight.Image-C.GOLOCK_SIGHT_IMAGE]
	_ = [1]struct{}{}[sight.Level-C.GOLOCK_SIGHT_LEVEL]
	_ = [1]struct{}{}[sight.RequestLayout-requestLayout]
	_ = [1]struct{}{}[sight.ReplyLayout-replyLayout]
	_ = [1]struct{}{}[sight.Clients-C.GOLOCK_SIGHT_CLIENTS]
	_ = [1]struct{}{}[int(sight.KindLock)-C.GOLOCK_LOCK]
	_ = [1]struct{}{}[int(sight.KindSemaphore)-C.GOLOCK_SEMAPHORE]
	_ = [1]struct{}{}[int(sight.KindEvent)-C.GOLOCK_EVENT]
	_ = [1]struct{}{}[int(sight.KindCondition)-C.GOLOCK_CONDITION]
	_ = [1]struct{}{}[int(sight.KindBarrier)-C.GOLOCK_BARRIER]
)

// The declarations of the header, the waiter and the semaphore have one layout: their sizes and the
// offsets of the fields that C uses.
var (
	_ = [1]struct{}{}[core.HeaderLayout-headerLayout]
	_ = [1]struct{}{}[core.WaiterLayout-waiterLayout]
	_ = [1]struct{}{}[core.WaiterPassed-waiterPassed]
	_ = [1]struct{}{}[unsafe.Sizeof(C.struct_golock_waiter{})-waiterFields]
	_ = [1]struct{}{}[unsafe.Sizeof(golock.Semaphore{})-unsafe.Sizeof(C.union_golock_semaphore{})]
	_ = [1]struct{}{}[unsafe.Sizeof(golock.Lock{})-unsafe.Sizeof(C.uint32_t(0))]
	_ = [1]struct{}{}[unsafe.Sizeof(golock.Event{})-unsafe.Sizeof(C.uint32_t(0))]
)

const dueLayout = C.GOLOCK_DUE_SHIFT | C.GOLOCK_DUE_BITS<<8 | C.GOLOCK_DUE_UNIT<<16

const headerLayout = uint64(unsafe.Sizeof(C.struct_golock_header{})) |
	uint64(unsafe.Offsetof(C.struct_golock_header{}.version))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_header{}.kind))<<16

const waiterLayout = uint64(unsafe.Sizeof(C.struct_golock_waiter{})) |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.deadline))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.patience))<<16 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.value))<<24 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.channel))<<32 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.until))<<40 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.designated))<<48 |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.semaphore))<<56

const waiterPassed = uint64(unsafe.Offsetof(C.struct_golock_waiter{}.since)) |
	uint64(unsafe.Offsetof(C.struct_golock_waiter{}.counted))<<8

// waiterFields is the end of the last field in C. Padding after it would not be zeroed by a C
// initializer.
const waiterFields = unsafe.Offsetof(C.struct_golock_waiter{}.goroutine) +
	unsafe.Sizeof(C.struct_golock_waiter{}.goroutine)

const requestLayout = uint64(unsafe.Sizeof(C.struct_golock_sight_request{})) |
	uint64(unsafe.Offsetof(C.struct_golock_sight_request{}.request))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_sight_request{}.argument))<<16

const replyLayout = uint64(unsafe.Sizeof(C.struct_golock_sight_reply{})) |
	uint64(unsafe.Offsetof(C.struct_golock_sight_reply{}.error))<<8 |
	uint64(unsafe.Offsetof(C.struct_golock_sight_reply{}.size))<<16
