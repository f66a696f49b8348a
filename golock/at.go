package golock

import (
	"fmt"
	"unsafe"

	"github.com/golock/golock/internal/core"
)

// An AddressError says why there is no object to use at an address.
type AddressError struct {
	Address uintptr // the address given
	Reason  string  // for people to read
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("golock: address %#x: %s", e.Address, e.Reason)
}

// At returns the lock of a Python golock.Lock, given the address from golock.shared(lock) or
// lock.address. The Python object must stay alive until every call on the result has returned;
// golock.shared keeps it alive.
//
// At returns an [*AddressError] if there is no shared lock of this version of golock at the
// address: it is 0 or misaligned, the memory cannot be read or holds something else, or the lock
// has been freed. A freed lock is noticed until its memory is used for another shared lock. Memory
// that cannot be read is noticed on Linux only; elsewhere reading it ends the process.
func At(address uintptr) (*Lock, error) {
	word, err := wordAt(address, core.KindLock)
	return (*Lock)(word), err
}

// SemaphoreAt does for a golock.Semaphore or golock.BoundedSemaphore what [At] does for a lock.
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
