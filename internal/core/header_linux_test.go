//go:build !golock_portable

package core

import (
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mapped memory ends inside a header, or before it, or belongs to the kernel.
func TestUnreadableMemory(t *testing.T) {
	page := unix.Getpagesize()
	pages, err := unix.Mmap(-1, 0, 2*page,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(pages) }()
	second := uintptr(unsafe.Pointer(&pages[page]))
	if err := unix.Mprotect(pages[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]uintptr{
		"no access":  second,
		"its middle": second - 8,
		"low":        8,
		"the last":   ^uintptr(7),
		"last but 1": ^uintptr(15),
	} {
		word, reason := WordAt(address, KindLock)
		if word != nil || reason != "no readable memory" {
			t.Errorf("WordAt(%s) returned %v, %q", name, word, reason)
		}
	}
	word, reason := WordAt(second-16, KindLock)
	if word != nil || !strings.Contains(reason, "not a shared golock object") {
		t.Errorf("WordAt of the last header in readable memory returned %v, %q", word, reason)
	}
}
