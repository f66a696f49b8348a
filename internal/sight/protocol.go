package sight

import (
	"encoding/binary"
	"unsafe"
)

// A request is what a client of the service sends; a reply precedes the bytes that it receives.
// struct golock_sight_request and struct golock_sight_reply have the same layouts.
type (
	request struct {
		magic    uint32
		kind     uint32
		argument uint64
	}
	reply struct {
		magic uint32
		errno int32 // 0, or why there are no bytes
		size  uint64
	}
)

// Magic is the first field of a request and of a reply.
const Magic = 0x53476FC1

var magic = func() (bytes [4]byte) {
	binary.NativeEndian.PutUint32(bytes[:], Magic)
	return bytes
}()

// The requests.
const (
	Hello = 1 + iota
	Image
	Level
)

func parse(b *[unsafe.Sizeof(request{})]byte) request {
	return request{
		magic:    binary.NativeEndian.Uint32(b[0:]),
		kind:     binary.NativeEndian.Uint32(b[4:]),
		argument: binary.NativeEndian.Uint64(b[8:]),
	}
}

func (r request) valid() bool { return r.magic == Magic && r.kind >= Hello && r.kind <= Level }

// RequestLayout and ReplyLayout are the sizes and the offsets of the last two fields, a byte each;
// C compares them with its own.
const (
	RequestLayout = uint64(unsafe.Sizeof(request{})) |
		uint64(unsafe.Offsetof(request{}.kind))<<8 |
		uint64(unsafe.Offsetof(request{}.argument))<<16
	ReplyLayout = uint64(unsafe.Sizeof(reply{})) |
		uint64(unsafe.Offsetof(reply{}.errno))<<8 |
		uint64(unsafe.Offsetof(reply{}.size))<<16
)
