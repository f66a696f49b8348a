//go:build !golock_portable

package core

import "golang.org/x/sys/unix"

const futexCompareRequeue = 4

// Readable reports whether so many bytes can be read at an address that may be anything, aligned to eight bytes. The
// kernel compares the memory with 0 to requeue nobody: nobody is woken, nor could be woken in place of another, as
// by a wait.
func Readable(address, size uintptr) bool {
	for offset := uintptr(0); offset < size; offset += 8 { // address+size may be beyond the address space
		at := address + offset
		_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, at, futexCompareRequeue|futexPrivate, 0, 0, at, 0)
		if errno != 0 && errno != unix.EAGAIN {
			return false
		}
	}
	return true
}
