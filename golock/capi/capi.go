// Package capi gives C the functions of the core as one table: the lock core that the Python
// extension uses. It adds no behaviour.
//
// The extension brings a core of its own, the library libgolock.so. A Go program that embeds
// Python, or a Go library in its process, already has a Go runtime there and can offer that
// instead:
//
//	golock.use_core(address)   # in Python, with what Core returned in Go
//
// Python threads that call into Go wait for a scheduler slot while all GOMAXPROCS of them are
// taken. The calls are short, but the kernel may preempt a thread inside one. libgolock.so has 128
// slots for that reason; a program in which many Python threads contend should raise its own
// ([runtime.GOMAXPROCS]).
package capi

// #include "table.h"
import "C"

import (
	"runtime"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/internal/core"
)

// Core returns the address of the core, for golock.use_core. The core is that of this Go runtime
// and ends with it: a child process made by fork cannot use it.
func Core() uintptr { return uintptr(unsafe.Pointer(C.golock_core_table())) }

//export golockTryAcquire
func golockTryAcquire(word *C.uint32_t, semaphore C.bool) C.int {
	if semaphore {
		return truth(core.SemaphoreCell((*uint32)(word)).TryAcquire())
	}
	return truth(core.LockCell((*uint32)(word)).TryAcquire())
}

//export golockNext
func golockNext(waiter *C.struct_golock_waiter, reason C.int) C.int {
	return C.int(view(waiter).Next(core.Reason(reason)))
}

//export golockStay
func golockStay(waiter *C.struct_golock_waiter) C.int { return truth(view(waiter).Stay()) }

//export golockRelease
func golockRelease(word *C.uint32_t) C.int {
	return truth(core.LockCell((*uint32)(word)).Release(1, 1, true))
}

//export golockReleaseSemaphore
func golockReleaseSemaphore(word *C.uint32_t, n, most C.uint32_t) C.int {
	cell := core.SemaphoreCell((*uint32)(word))
	if n == 0 {
		return truth(cell.Permits() <= uint32(most))
	}
	return truth(cell.Release(uint32(n), uint32(most), true))
}

//export golockSetHandoff
func golockSetHandoff(nanoseconds C.int64_t) {
	golock.SetHandoff(time.Duration(nanoseconds))
}

//export golockGoVersion
func golockGoVersion() *C.char { return C.CString(runtime.Version()) }

//export golockHandoff
func golockHandoff() *C.int64_t { return (*C.int64_t)(core.HandoffCell()) }

//export golockSlow
func golockSlow() *C.uint32_t { return (*C.uint32_t)(core.SlowCell()) }

//export golockWaiting
func golockWaiting() *C.int32_t { return (*C.int32_t)(&core.WaitingCells()[0]) }

func view(waiter *C.struct_golock_waiter) *core.Waiter {
	return (*core.Waiter)(unsafe.Pointer(waiter))
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
