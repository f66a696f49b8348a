package capi

// #include <stdlib.h>
// #include "sight.h"
import "C"

import (
	"errors"
	"syscall"
	"unsafe"

	"github.com/golock/golock/internal/sight"
)

// source is a struct golock_sight as the service and the goroutines use it.
type source struct {
	of *C.struct_golock_sight
}

//export golockServe
func golockServe(of *C.struct_golock_sight, path *C.char) C.int {
	var given sight.Source
	if of != nil {
		given = source{of}
		sight.Record(source{of}, (*int32)(unsafe.Pointer(of.level)))
	}
	where := ""
	if path != nil {
		where = C.GoString(path)
	}
	err := sight.Serve(given, where)
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return C.int(errno)
	}
	return C.int(syscall.ENOSYS)
}

func (s source) Look() int64 { return int64(C.golock_sight_look(s.of)) }

func (s source) Wake() (descriptor int32, woken bool) {
	answer := C.golock_sight_wake(s.of)
	return int32(answer.descriptor), bool(answer.woken)
}

func (s source) Answer(kind uint32, argument uint64) (unsafe.Pointer, uint64, int32) {
	answer := C.golock_sight_answer(s.of, C.uint32_t(kind), C.uint64_t(argument))
	return answer.reply, uint64(answer.size), int32(answer.error)
}

func (s source) Release(reply unsafe.Pointer) { C.golock_sight_release_reply(s.of, reply) }

func (s source) Opened(place int, descriptor int32, inode uint64) {
	C.golock_sight_opened(s.of, C.int(place), C.int(descriptor), C.uint64_t(inode))
}

func (s source) Frame(file, function string, line int) uint32 {
	cFile, cFunction := C.CString(file), C.CString(function)
	defer C.free(unsafe.Pointer(cFile))
	defer C.free(unsafe.Pointer(cFunction))
	return uint32(C.golock_sight_frame(s.of, cFile, cFunction, C.int(line)))
}

func (s source) Stack(caller, frame uint32) uint32 {
	return uint32(C.golock_sight_stack(s.of, C.uint32_t(caller), C.uint32_t(frame)))
}

func (s source) WaitBegins(word unsafe.Pointer, kind sight.Kind, goroutine uint64, deadline int64,
	stack uint32) unsafe.Pointer {
	return C.golock_sight_wait_begins(s.of, number(word), C.int(kind), C.uint64_t(goroutine),
		C.int64_t(deadline), C.uint32_t(stack))
}

func (s source) WaitEnded(wait unsafe.Pointer, taken bool) {
	C.golock_sight_wait_ended(s.of, wait, truth(taken))
}

func (s source) Taken(word unsafe.Pointer, kind sight.Kind, goroutine uint64, stack uint32) {
	C.golock_sight_taken(s.of, number(word), C.int(kind), C.uint64_t(goroutine), C.uint32_t(stack))
}

func (s source) Released(word unsafe.Pointer, kind sight.Kind, goroutine uint64, count uint32) {
	C.golock_sight_released(s.of, number(word), C.int(kind), C.uint64_t(goroutine), C.uint32_t(count))
}

func number(word unsafe.Pointer) C.uintptr_t { return C.uintptr_t(uintptr(word)) }
