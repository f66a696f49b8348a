// Command libgolock is the lock core as a C shared library: [capi] with a Go runtime of its own,
// which is set up as a guest in another program's process.
//
// It is built with these linker flags:
//
//	-X runtime.godebugDefault=asyncpreemptoff=1,containermaxprocs=0
//	-extldflags -Wl,--version-script=golock/capi/libgolock/exports.map -Wl,--wrap=...
//
// The first prevents the runtime from sending SIGURG to threads that are not Go's, because nothing
// in the core runs long enough to need it, and from keeping its cgroup's files open, which every
// forked child would inherit. (A //go:debug line does not accept the former: the go command knows
// only the settings of internal/godebugs.) The second hides every symbol but one. The last puts
// guest.c between the runtime and the C library.
package main

import "C"

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"

	_ "github.com/golock/golock/golock/capi"
)

// C threads that call into Go wait for a scheduler slot while all GOMAXPROCS of them are taken. The
// calls are short, but the kernel may preempt a thread inside one, and the others then wait as
// long: up to 56 ms were measured with 2 slots and 32 threads.
const schedulerSlots = 128

// The runtime's own goroutines seldom run, and never two at once. Their threads are started now,
// when a thread that cannot be started delays nobody. While golock.sight's service sleeps it keeps
// one, and the others get another when they next run.
const goroutineThreads = 1

func init() {
	// Warm calls into the core allocate nothing (internal/core/allocations_test.go), so there is
	// nothing to collect.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(math.MaxInt64)
	runtime.GOMAXPROCS(max(schedulerSlots, runtime.GOMAXPROCS(0)))

	var together, done sync.WaitGroup
	together.Add(goroutineThreads)
	done.Add(goroutineThreads)
	for range goroutineThreads {
		go func() {
			defer done.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			together.Done()
			together.Wait()
		}()
	}
	done.Wait()
}

func main() {}
