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

// total returns the sum of the table, or -1 when the lock could not be had soon. Python calls it with the
// GIL, for which the thread that has the lock may be waiting: to wait for that thread without a limit
// would be a deadlock.
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
