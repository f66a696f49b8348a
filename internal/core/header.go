package core

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Version is the version of the header, of the words and of the core's functions. Code of different
// versions cannot use the same object.
const Version = 6

// HeaderMagic begins the header of a Python object that is shared. Its bytes are not valid UTF-8.
const HeaderMagic = 0x6B636FC1

// A Kind is the kind of an object that can be shared.
type Kind uint8

// The kinds. A bounded semaphore is shared as a semaphore, without its bound.
const (
	KindLock Kind = 1 + iota
	KindSemaphore
	KindEvent
)

func (k Kind) String() string {
	switch k {
	case KindLock:
		return "Lock"
	case KindSemaphore:
		return "Semaphore"
	case KindEvent:
		return "Event"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// header is struct golock_header of golock/capi/golock.h. The word follows it.
type header struct {
	magic   uint32
	version uint16
	kind    Kind
	_       uint8
}

// HeaderLayout is the size of a header and the offsets of its fields, a byte each; C compares it
// with its own.
const HeaderLayout = uint64(unsafe.Sizeof(header{})) |
	uint64(unsafe.Offsetof(header{}.version))<<8 |
	uint64(unsafe.Offsetof(header{}.kind))<<16

// WordAt returns the word behind the header at an address that may be invalid, or nil with the
// reason why there is no object of that kind.
func WordAt(address uintptr, kind Kind) (word unsafe.Pointer, reason string) {
	fault := func(format string, arguments ...any) (unsafe.Pointer, string) {
		return nil, fmt.Sprintf(format, arguments...)
	}
	const size = unsafe.Sizeof(header{})
	switch {
	case address == 0:
		return fault("nil")
	case address%size != 0:
		return fault("misaligned")
	case !Readable(address, 2*size):
		return fault("no readable memory")
	}
	// The address points to memory that Go does not move; the conversion reinterprets its bits.
	h := *(**header)(unsafe.Pointer(&address))
	switch {
	case atomic.LoadUint32(&h.magic) != HeaderMagic:
		return fault("not a shared golock object, or one that no longer exists")
	case h.version != Version:
		return fault("an object of version %d of golock's protocol, and this is version %d",
			h.version, Version)
	case h.kind != kind:
		return fault("shared as %v, not as %v", h.kind, kind)
	}
	return unsafe.Add(unsafe.Pointer(h), size), ""
}
