package golock

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Version is that of the header, of the words and of the core's functions. Code of different versions cannot use
// the same object.
const Version = 5

// HeaderMagic stands at the beginning of the header of a Python object that is shared: its bytes are no UTF-8.
const HeaderMagic = 0x6B636FC1

// A Kind tells the objects apart that can be shared.
type Kind uint8

// The kinds. A bounded semaphore is shared as a semaphore, which does not know its bound.
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

// HeaderLayout is the size of a header and the offsets of its fields, a byte each; C compares it with its own.
const HeaderLayout = uint64(unsafe.Sizeof(header{})) |
	uint64(unsafe.Offsetof(header{}.version))<<8 |
	uint64(unsafe.Offsetof(header{}.kind))<<16

// An AddressError says why there is no object to use at an address.
type AddressError struct {
	Address uintptr // what was given
	Reason  string  // for people to read
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("golock: address %#x: %s", e.Address, e.Reason)
}

// At returns the lock of a golock.Lock of Python, given its attribute address. The lock must stay alive until every
// call on the result has returned: golock.shared(lock) sees to that on Python's side.
//
// The error is an [*AddressError] when there is no shared lock of this [Version] at the address: nil, misaligned,
// memory that cannot be read, or that holds something else, or a lock that is gone. (That it is gone is seen for as
// long as nothing that looks like a lock has taken its place. Other systems than Linux cannot tell what memory can
// be read.)
func At(address uintptr) (*Lock, error) {
	word, err := wordAt(address, KindLock)
	return (*Lock)(word), err
}

// SemaphoreAt does for a golock.Semaphore or BoundedSemaphore what [At] does for a lock.
func SemaphoreAt(address uintptr) (*Semaphore, error) {
	word, err := wordAt(address, KindSemaphore)
	return (*Semaphore)(word), err
}

// EventAt does for a golock.Event what [At] does for a lock.
func EventAt(address uintptr) (*Event, error) {
	word, err := wordAt(address, KindEvent)
	return (*Event)(word), err
}

// wordAt returns the word behind the header at the address.
func wordAt(address uintptr, kind Kind) (unsafe.Pointer, error) {
	fault := func(format string, arguments ...any) (unsafe.Pointer, error) {
		return nil, &AddressError{address, fmt.Sprintf(format, arguments...)}
	}
	const size = unsafe.Sizeof(header{})
	switch {
	case address == 0:
		return fault("nil")
	case address%size != 0:
		return fault("misaligned")
	case !readable(address, 2*size):
		return fault("no memory to be read")
	}
	// A uintptr from C is a pointer to memory that Go does not move; that it is one is said by its bits.
	h := *(**header)(unsafe.Pointer(&address))
	switch {
	case atomic.LoadUint32(&h.magic) != HeaderMagic:
		return fault("no shared golock object, or one that is gone")
	case h.version != Version:
		return fault("an object of version %d of golock's protocol, and this is version %d", h.version, Version)
	case h.kind != kind:
		return fault("shared as %v, not as %v", h.kind, kind)
	}
	return unsafe.Add(unsafe.Pointer(h), size), nil
}
