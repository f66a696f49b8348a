// Command capi is the lock core as a C shared library, libgolock.so. It adds no behaviour: it hands
// the functions of package golock to C as one table, and sets up the Go runtime as a guest in another
// program's process.
//
// It is built with two linker flags:
//
//	-X runtime.godebugDefault=asyncpreemptoff=1,containermaxprocs=0
//	-extldflags -Wl,--version-script=golock/capi/exports.map
//
// The first keeps the runtime from sending SIGURG to threads that are not Go's, because nothing in the
// core runs long enough to need it; and from keeping the files of its cgroup open, which every forked
// child would inherit. (A //go:debug line cannot say the former: the go command knows only the settings
// of internal/godebugs.) The second hides every symbol but one.
package main

// #cgo CFLAGS: -I${SRCDIR}/../../pyext -Wall -Wextra -Werror
// #include <stdlib.h>
// #include "golock.h"
import "C"

import (
	"runtime"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
)

// C threads that call into Go wait for a scheduler slot when all GOMAXPROCS of them are taken. The
// calls are short, but the kernel may preempt a thread inside one, and the others then wait for as
// long: up to 56 ms were measured with 2 slots and 32 threads.
const schedulerSlots = 128

func init() {
	runtime.GOMAXPROCS(max(schedulerSlots, runtime.GOMAXPROCS(0)))
}

//export golockTryAcquire
func golockTryAcquire(word *C.uint32_t, semaphore C.bool) C.int {
	if semaphore {
		return truth(golock.SemaphoreAt(unsafe.Pointer(word)).TryAcquire())
	}
	return truth(golock.At(unsafe.Pointer(word)).TryLock())
}

//export golockNext
func golockNext(waiter *C.struct_golock_waiter, reason C.int) C.int {
	return C.int(view(waiter).Next(golock.Reason(reason)))
}

//export golockStay
func golockStay(waiter *C.struct_golock_waiter) C.int { return truth(view(waiter).Stay()) }

//export golockRelease
func golockRelease(word *C.uint32_t) C.int {
	return truth(golock.At(unsafe.Pointer(word)).Release() == nil)
}

//export golockReleaseSemaphore
func golockReleaseSemaphore(word *C.uint32_t, n, most C.uint32_t) C.int {
	return truth(golock.SemaphoreAt(unsafe.Pointer(word)).ReleaseUpTo(uint32(n), uint32(most)))
}

//export golockListen
func golockListen(word *C.uint32_t, listener *C.struct_golock_listener) C.int {
	golock.Listen((*uint32)(word), viewListener(listener))
	return 1
}

//export golockNotify
func golockNotify(word *C.uint32_t, n, told C.uint32_t) C.uint32_t {
	return C.uint32_t(golock.Notify((*uint32)(word), uint32(n), uint32(told)))
}

//export golockWithdraw
func golockWithdraw(word *C.uint32_t, listener *C.struct_golock_listener) C.uint32_t {
	return C.uint32_t(golock.Withdraw((*uint32)(word), viewListener(listener)))
}

//export golockSetHandoff
func golockSetHandoff(nanoseconds C.int64_t) {
	golock.SetHandoff(time.Duration(nanoseconds))
}

//export golockGoVersion
func golockGoVersion() *C.char { return C.CString(runtime.Version()) }

func view(waiter *C.struct_golock_waiter) *golock.Waiter {
	return (*golock.Waiter)(unsafe.Pointer(waiter))
}

func viewListener(listener *C.struct_golock_listener) *golock.Listener {
	return (*golock.Listener)(unsafe.Pointer(listener))
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func main() {}
