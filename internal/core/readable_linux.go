//go:build !golock_portable

package core

import "golang.org/x/sys/unix"

const futexCompareRequeue = 4

// Readable reports whether size bytes can be read at an address that may be invalid, aligned to
// eight bytes. The kernel compares the memory with 0, to requeue nobody. Unlike a wait, that can
// neither be woken nor take a wake-up from another.
func Readable(address, size uintptr) bool {
	// address+size may be beyond the address space.
	for offset := uintptr(0); offset < size; offset += 8 {
		at := address + offset
		_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX,
			at, futexCompareRequeue|futexPrivate, 0, 0, at, 0)
		if errno != 0 && errno != unix.EAGAIN {
			return false
		}
	}
	return true
}
