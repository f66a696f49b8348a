//go:build embed

package main

// #include <stdint.h>
// int64_t total(void);
import "C"

import (
	"context"
	"time"
	"unsafe"
)

// total returns the sum of the table, or -1 when it could not have the lock soon. Python calls it with the GIL,
// and the thread that has the lock may be waiting for just that: without a limit the two would wait for each other
// for ever. (ctypes.CFUNCTYPE instead of PYFUNCTYPE in script.py releases the GIL; then total could wait for as long
// as it needs.) A forked child must not call it: nothing of Go runs there.
//
//export total
func total() C.int64_t {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if lock.LockContext(ctx) != nil {
		return -1
	}
	defer lock.Unlock()
	var sum C.int64_t
	for _, n := range table {
		sum += C.int64_t(n)
	}
	return sum
}

func totalForPython() uintptr { return uintptr(unsafe.Pointer(C.total)) }
