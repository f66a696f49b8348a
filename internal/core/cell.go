package core

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"unsafe"
)

// A Cell is the memory of a lock or of a semaphore.
type Cell struct {
	word      *uint32
	semaphore bool // the cell has 64 bits: the word and the permits
}

// A state is the content of a cell: the word in the lower half, the permits in the upper one. A
// free lock has one permit. Held is set exactly when there are no permits, so only a change of the
// permits sets or clears it.
type state uint64

const permit state = 1 << 32

// MaxPermits is the greatest number of permits that a semaphore can have.
const MaxPermits = math.MaxUint32

func (s state) word() uint32    { return uint32(s) }
func (s state) permits() uint32 { return uint32(s >> 32) }

// withFlags returns the state with the same permits and these bits in its word. Held follows the
// permits.
func (s state) withFlags(bits uint32) state {
	bits &^= Held
	if s.permits() == 0 {
		bits |= Held
	}
	return state(s.permits())<<32 | state(bits)
}

func (c Cell) load() state {
	if c.semaphore {
		return fromMemory(atomic.LoadUint64(c.both()))
	}
	word := atomic.LoadUint32(c.word)
	return state(word) | state(^word&Held)<<32
}

// compareAndSwap replaces the state if it is still old, and reports whether it was.
func (c Cell) compareAndSwap(old, next state) bool {
	if c.semaphore {
		from, to := uint64(fromMemory(uint64(old))), uint64(fromMemory(uint64(next)))
		return atomic.CompareAndSwapUint64(c.both(), from, to)
	}
	return atomic.CompareAndSwapUint32(c.word, old.word(), next.word())
}

// both returns the memory of a semaphore, which begins with its word.
func (c Cell) both() *uint64 { return (*uint64)(unsafe.Pointer(c.word)) }

// fromMemory converts the 64 bits of a semaphore in memory, the word first, to a state, and back.
func fromMemory(bits uint64) state {
	if wordIsHigh {
		bits = bits<<32 | bits>>32
	}
	return state(bits)
}

// wordIsHigh is true if the first half of 64 bits in memory is the upper one: big-endian.
var wordIsHigh = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// LockCell returns the cell of the lock with that word.
func LockCell(word *uint32) Cell { return Cell{word: word} }

// SemaphoreCell returns the cell of the semaphore whose memory begins with that word. The memory
// holds what [MemoryOf] returned, or a later state.
func SemaphoreCell(word *uint32) Cell { return Cell{word: word, semaphore: true} }

// MemoryOf returns the initial memory of a semaphore with that many permits.
func MemoryOf(permits uint32) uint64 {
	return uint64(fromMemory(uint64((state(permits) << 32).withFlags(0))))
}

// Permits returns the number of permits.
func (c Cell) Permits() uint32 { return c.load().permits() }
