package golock

import (
	"fmt"
	"unsafe"

	"github.com/golock/golock/internal/core"
)

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
// The error is an [*AddressError] when there is no shared lock of this version of golock at the address: nil, misaligned,
// memory that cannot be read, or that holds something else, or a lock that is gone. (That it is gone is seen for as
// long as nothing that looks like a lock has taken its place. Other systems than Linux cannot tell what memory can
// be read.)
func At(address uintptr) (*Lock, error) {
	word, err := wordAt(address, core.KindLock)
	return (*Lock)(word), err
}

// SemaphoreAt does for a golock.Semaphore or BoundedSemaphore what [At] does for a lock.
func SemaphoreAt(address uintptr) (*Semaphore, error) {
	word, err := wordAt(address, core.KindSemaphore)
	return (*Semaphore)(word), err
}

// EventAt does for a golock.Event what [At] does for a lock.
func EventAt(address uintptr) (*Event, error) {
	word, err := wordAt(address, core.KindEvent)
	return (*Event)(word), err
}

func wordAt(address uintptr, kind core.Kind) (unsafe.Pointer, error) {
	word, reason := core.WordAt(address, kind)
	if word == nil {
		return nil, &AddressError{address, reason}
	}
	return word, nil
}
