package sight

import "unsafe"

// A Source is what the service serves. It needs no locks of Go's: its methods are called by the
// service's goroutine alone.
type Source interface {
	// Look looks for deadlocks, and returns the CLOCK_MONOTONIC time at which to look again, or
	// forever.
	Look() int64
	// Wake returns a descriptor that becomes readable when the service is to look at once, or -1.
	// It empties the descriptor, and reports whether it was readable.
	Wake() (descriptor int32, woken bool)
	// Answer returns the reply to a request, which Release frees, or an errno.
	Answer(kind uint32, argument uint64) (body unsafe.Pointer, size uint64, errno int32)
	Release(body unsafe.Pointer)
	// Opened says which descriptor the service has open at this place; -1: none.
	Opened(place int, descriptor int32, inode uint64)
}

// Clients is the number of clients that the service has at most.
const Clients = 8
