// Command libgolock_etcd is the lock core together with locks in etcd, as a C shared library: a
// process that uses both has one Go runtime. The Python module golock.etcd loads it.
//
// It is built as golock/capi/libgolock is, and is a guest in the same way. But it has a garbage
// collector, because a client of etcd allocates memory.
package main

import "C"

import (
	"runtime"

	_ "github.com/golock/golock/golock/capi"
)

// The collector works with a quarter of the slots, so there are fewer than in libgolock.
const schedulerSlots = 32

func init() { runtime.GOMAXPROCS(max(schedulerSlots, runtime.GOMAXPROCS(0))) }

func main() {}
