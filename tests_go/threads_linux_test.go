//go:build !golock_portable

package tests_go

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/golock/golock/internal/core"
	"golang.org/x/sys/unix"
)

const threadsCanWait = true

// waiter mirrors core.Waiter, as struct golock_waiter in golock/capi/golock.h does for C.
type waiter struct {
	word                         *uint32
	deadline, patience, since    int64
	value, channel               uint32
	until                        int64
	designated, returns, counted bool
	semaphore                    bool
}

const layout = uint64(unsafe.Sizeof(waiter{})) |
	uint64(unsafe.Offsetof(waiter{}.deadline))<<8 |
	uint64(unsafe.Offsetof(waiter{}.patience))<<16 |
	uint64(unsafe.Offsetof(waiter{}.value))<<24 |
	uint64(unsafe.Offsetof(waiter{}.channel))<<32 |
	uint64(unsafe.Offsetof(waiter{}.until))<<40 |
	uint64(unsafe.Offsetof(waiter{}.designated))<<48 |
	uint64(unsafe.Offsetof(waiter{}.semaphore))<<56

var _ = map[bool]int{false: 0, layout == core.WaiterLayout: 0} // does not compile if they differ

// inThread starts a call in an OS thread of its own, and returns when the thread's id is known.
func inThread(run func() answer) *pending {
	c := &pending{done: make(chan answer, 1)}
	id := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		id <- unix.Gettid()
		c.done <- run()
	}()
	c.thread = <-id
	return c
}

// waitInThread takes the lock or a permit in an OS thread that sleeps on the word itself, as a
// Python thread does.
func waitInThread(word *uint32, semaphore bool) *pending {
	return inThread(func() answer {
		next := core.NewWaiter(word, core.Forever)
		shared := (*waiter)(unsafe.Pointer(&next))
		shared.semaphore = semaphore
		shared.patience = 0 // nobody here has a GIL
		for event := core.Entered; next.Next(event) != core.Acquired; {
			event = core.Changed
			for event == core.Changed {
				_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 9|128,
					uintptr(shared.value), 0, 0, uintptr(shared.channel))
				if errno == 0 {
					event = core.Woken
				} else if !next.Stay() {
					break
				}
			}
		}
		return answer{taken: true}
	})
}

// awaitInThread waits for an event in an OS thread that sleeps on the event's word, as a Python
// thread does.
func awaitInThread(word *uint32) *pending {
	const flags = core.Set | core.Sleepers
	c := inThread(func() answer {
		came := atomic.LoadUint32(word)
		now := came
		for ; now&core.Set == 0 && now|flags == came|flags; now = atomic.LoadUint32(word) {
			if now&core.Sleepers != 0 ||
				atomic.CompareAndSwapUint32(word, now, now|core.Sleepers) {
				_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 9|128,
					uintptr(now|core.Sleepers), 0, 0, 1<<32-1)
			}
		}
		return answer{taken: true}
	})
	c.sleepsOn = unsafe.Pointer(word)
	return c
}

// sleepsOn reports whether the thread sleeps in the kernel on the word. Under an emulator the call's
// number is that of another processor, but only futex has the address as its first argument.
func sleepsOn(thread int, word unsafe.Pointer) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", thread))
	fields := strings.Fields(string(content))
	return err == nil && len(fields) > 1 && fields[1] == fmt.Sprintf("%#x", uintptr(word))
}
