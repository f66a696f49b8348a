//go:build !golock_portable

package tests_go

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/golock/golock/golock"
	"golang.org/x/sys/unix"
)

const threadsCanWait = true

// waiter mirrors golock.Waiter, as struct golock_waiter in pyext/golock.h does for C.
type waiter struct {
	word                      *uint32
	deadline, patience, since int64
	value, channel            uint32
	until                     int64
	owes, returns, counted    bool
	semaphore                 bool
}

const layout = uint64(unsafe.Sizeof(waiter{})) |
	uint64(unsafe.Offsetof(waiter{}.deadline))<<8 |
	uint64(unsafe.Offsetof(waiter{}.patience))<<16 |
	uint64(unsafe.Offsetof(waiter{}.value))<<24 |
	uint64(unsafe.Offsetof(waiter{}.channel))<<32 |
	uint64(unsafe.Offsetof(waiter{}.until))<<40 |
	uint64(unsafe.Offsetof(waiter{}.owes))<<48 |
	uint64(unsafe.Offsetof(waiter{}.semaphore))<<56

var _ = map[bool]int{false: 0, layout == golock.WaiterLayout: 0} // does not compile when they differ

// waitInThread takes the lock in an OS thread of its own, which sleeps on the word itself as a Python
// thread does.
func waitInThread(word *uint32) *pending {
	c := &pending{done: make(chan answer, 1)}
	id := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		id <- unix.Gettid()
		next := golock.NewWaiter(word, golock.Forever)
		shared := (*waiter)(unsafe.Pointer(&next))
		shared.patience = 0 // nobody here has a GIL
		for event := golock.Entered; next.Next(event) != golock.Acquired; {
			event = golock.Changed
			for event == golock.Changed {
				_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 9|128,
					uintptr(shared.value), 0, 0, uintptr(shared.channel))
				if errno == 0 {
					event = golock.Woken
				} else if !next.Stay() {
					break
				}
			}
		}
		c.done <- answer{taken: true}
	}()
	c.thread = <-id
	return c
}

// sleepsOn reports whether the thread sleeps in the kernel on the word.
func sleepsOn(thread int, word unsafe.Pointer) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", thread))
	fields := strings.Fields(string(content))
	return err == nil && len(fields) > 1 && fields[0] == strconv.Itoa(unix.SYS_FUTEX) &&
		fields[1] == fmt.Sprintf("%#x", uintptr(word))
}
