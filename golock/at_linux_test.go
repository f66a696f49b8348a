//go:build !golock_portable

package golock

import (
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mapped memory ends inside a header, or before it, or belongs to the kernel.
func TestAtRefusesUnreadableMemory(t *testing.T) {
	page := unix.Getpagesize()
	pages, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
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
		if _, err := At(address); err == nil || !strings.HasSuffix(err.Error(), "no memory to be read") {
			t.Errorf("At(%s) returned %v", name, err)
		}
	}
	if _, err := At(second - 16); err == nil || !strings.Contains(err.Error(), "no shared golock object") {
		t.Errorf("At of the last header in readable memory returned %v", err)
	}
}
