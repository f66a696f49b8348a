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

// total returns the sum of the table, or -1 if it did not get the lock within a millisecond. Python
// calls it with the GIL, for which the lock's owner may be waiting: without a limit the two would
// wait for each other for ever. (If script.py used ctypes.CFUNCTYPE, which releases the GIL,
// instead of PYFUNCTYPE, total could wait without a limit.) A forked child must not call total: it
// has no Go runtime.
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
