// Command libgolock is the lock core as a C shared library: [capi] with a Go runtime of its own, which it
// sets up as a guest in another program's process.
//
// It is built with two linker flags:
//
//	-X runtime.godebugDefault=asyncpreemptoff=1,containermaxprocs=0
//	-extldflags -Wl,--version-script=golock/capi/libgolock/exports.map
//
// The first keeps the runtime from sending SIGURG to threads that are not Go's, because nothing in the
// core runs long enough to need it; and from keeping the files of its cgroup open, which every forked
// child would inherit. (A //go:debug line cannot say the former: the go command knows only the settings
// of internal/godebugs.) The second hides every symbol but one.
package main

// #cgo CFLAGS: -Wall -Wextra -Werror
import "C"

import (
	"runtime"

	_ "github.com/golock/golock/golock/capi"
)

// C threads that call into Go wait for a scheduler slot when all GOMAXPROCS of them are taken. The
// calls are short, but the kernel may preempt a thread inside one, and the others then wait for as
// long: up to 56 ms were measured with 2 slots and 32 threads.
const schedulerSlots = 128

func init() {
	runtime.GOMAXPROCS(max(schedulerSlots, runtime.GOMAXPROCS(0)))
}

func main() {}
