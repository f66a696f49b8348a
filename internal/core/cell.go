package core

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"unsafe"
)

// A Cell is where the word of a lock or of a semaphore lives.
type Cell struct {
	word      *uint32
	semaphore bool // 64 bits, of which word is one half and the permits are the other
}

// A state is what stands in a cell: the word below, the permits above. A free lock has one permit.
// Held is set just where there are none, so nothing sets or clears it but a change of the permits.
type state uint64

const permit state = 1 << 32

// MaxPermits is how many permits a semaphore can have.
const MaxPermits = math.MaxUint32

func (s state) word() uint32    { return uint32(s) }
func (s state) permits() uint32 { return uint32(s >> 32) }

// withFlags is the state with the same permits and these bits in its word; Held follows the permits.
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
		return atomic.CompareAndSwapUint64(c.both(), uint64(fromMemory(uint64(old))), uint64(fromMemory(uint64(next))))
	}
	return atomic.CompareAndSwapUint32(c.word, old.word(), next.word())
}

// both is the memory of a semaphore, which begins with its word.
func (c Cell) both() *uint64 { return (*uint64)(unsafe.Pointer(c.word)) }

// fromMemory turns the 64 bits of a semaphore, the word first, into a state, and back.
func fromMemory(bits uint64) state {
	if wordIsHigh {
		bits = bits<<32 | bits>>32
	}
	return state(bits)
}

// wordIsHigh is true where the first half of 64 bits in memory is the upper one: big-endian.
var wordIsHigh = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// LockCell is the cell of a lock with that word.
func LockCell(word *uint32) Cell { return Cell{word: word} }

// SemaphoreCell is the cell of a semaphore whose memory begins with that word, and holds [MemoryOf] so many permits.
func SemaphoreCell(word *uint32) Cell { return Cell{word: word, semaphore: true} }

// MemoryOf is the memory of a semaphore with that many permits, of which nobody knows yet.
func MemoryOf(permits uint32) uint64 {
	return uint64(fromMemory(uint64((state(permits) << 32).withFlags(0))))
}

// Permits returns how many permits there are.
func (c Cell) Permits() uint32 { return c.load().permits() }
