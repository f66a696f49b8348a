package process

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWaiters   = 1 << 31
	ownerDied      = 1 << 30
	futexWaitv32   = 2
	futexPrivate   = 128
	barrierCommand = 1 << 1 // MEMBARRIER_CMD_GLOBAL_EXPEDITED
	barrierEnroll  = 1 << 2 // MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
)

type life int

const (
	alive life = iota
	dying      // it was killed, and a thread of it may still run for some microseconds
	dead       // or nobody has the slot
)

func (m *memory) wake(channels uint32) bool { return wake(m.word(), 1, channels) == 1 }

// word returns the lower half of the cell.
func (m *memory) word() *uint32 { return (*uint32)(unsafe.Pointer(&m.cell)) }

func wake(word *uint32, most, channels uint32) int {
	woken, _, _ := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 10,
		uintptr(most), 0, 0, uintptr(channels)) // FUTEX_WAKE_BITSET
	return int(woken)
}

// guarded reports whether a life word says that a living thread guards it.
func guarded(life uint32) bool {
	return life != 0 && life&ownerDied == 0 && life&LifeByte != LifeByte
}

func (p *page) life(slot uint32, which int) *uint32 {
	return &p.memory.slots[slot-1].lives[which].life
}

func (p *page) loadLife(slot uint32, which int) uint32 {
	return atomic.LoadUint32(p.life(slot, which))
}

// hasFile reports whether the descriptor is still that of the page.
func (p *page) hasFile() bool {
	var found unix.Stat_t
	return unix.Fstat(p.fd, &found) == nil && identity{found.Dev, found.Ino} == p.file
}

func byteOf(slot uint32, kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Start: int64(slot) - 1, Len: 1}
}

// lockByte locks the byte of a slot. The error is EAGAIN if another process has it.
func (p *page) lockByte(slot uint32) error {
	if !p.hasFile() {
		return fmt.Errorf("%s: its descriptor was closed", p.path)
	}
	err := unix.FcntlFlock(uintptr(p.fd), unix.F_SETLK, byteOf(slot, unix.F_WRLCK))
	if err == unix.EACCES {
		return unix.EAGAIN
	}
	return err
}

// byteIsFree reports whether no process has the byte of another's slot locked.
func (p *page) byteIsFree(slot uint32, otherwise bool) bool {
	lock := byteOf(slot, unix.F_WRLCK)
	if !p.hasFile() || unix.FcntlFlock(uintptr(p.fd), unix.F_GETLK, lock) != nil {
		return otherwise
	}
	return lock.Type == unix.F_UNLCK
}

// stopped reports whether no thread of a process whose life words are marked still runs.
func (p *page) stopped(slot uint32) bool {
	if atomic.LoadUint32(&p.memory.slots[slot-1].barrier) == 0 {
		return false
	}
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, barrierCommand, 0, 0)
	return errno == 0
}

// lifeOf tells whether the process with a slot lives.
func (p *page) lifeOf(slot uint32) life {
	if slot == p.me.Load() {
		return alive
	}
	first, second := p.loadLife(slot, 0), p.loadLife(slot, 1)
	either := first | second
	otherwise, still := true, dying
	switch {
	case guarded(first) && guarded(second):
		return alive
	case either&ownerDied != 0 && p.stopped(slot):
		return dead
	case either&ownerDied == 0 && either != 0:
		otherwise, still = false, alive
	}
	if p.byteIsFree(slot, otherwise) {
		return dead
	}
	return still
}

// settle frees the lock if its holder is dead. It reports whether the holder is dying.
func (p *page) settle() bool {
	for {
		cell := p.memory.load()
		holder := cell.holder()
		if holder == 0 {
			return false
		}
		// The cell counts acquires. If it is still the same below, the dead was the holder.
		holderLife := dead
		if holder <= Slots {
			holderLife = p.lifeOf(holder)
		}
		if holderLife != dead {
			return holderLife == dying
		}
		if p.bury(cell) {
			return false
		}
	}
}

// ring rings at the nearest living slots above, which are to watch this one.
func (p *page) ring(slot uint32) {
	rung := 0
	for i := uint32(0); i < Slots-1 && rung < Lives; i++ {
		other := (slot+i)%Slots + 1
		if guarded(p.loadLife(other, 0)) {
			doorbell := &p.memory.slots[other-1].doorbell
			atomic.AddUint32(doorbell, 1)
			wake(doorbell, math.MaxInt32, channelAny)
			rung++
		}
	}
}

// aim aims at the nearest slots below this one: those that live, and those whose death nobody has
// handled. It reports whether there is one of the latter.
func (p *page) aim() (unhandled bool) {
	found := 0
	me := p.me.Load()
	p.aims = [Lives]aim{}
	for i := uint32(2); i <= Slots && found < Lives; i++ {
		other := (me+Slots-i)%Slots + 1
		first, life := p.loadLife(other, 0), p.loadLife(other, found)
		lives := &p.memory.slots[other-1].lives
		switch {
		case guarded(life) && guarded(first):
			p.aims[found] = aim{slot: other, life: life}
			found++
		case (first|life)&ownerDied != 0 &&
			atomic.LoadUint32(&lives[1].number) != atomic.LoadUint32(&lives[0].number):
			p.aims[found] = aim{slot: other} // it differs from the life word
			found++
			unhandled = true
		}
	}
	return unhandled
}

// mayBeFree reports whether a slot may be free: then its byte decides.
func (p *page) mayBeFree(slot uint32) bool {
	return !guarded(p.loadLife(slot, 0)) || !guarded(p.loadLife(slot, 1))
}

// moveIn makes a slot this process's. Its byte is locked, so nobody else changes the slot.
func (p *page) moveIn(slot uint32) {
	mine := &p.memory.slots[slot-1]
	debts := atomic.LoadUint32(&mine.debts)
	atomic.AddUint32(&mine.lives[0].number, 1)
	atomic.StoreUint32(&mine.barrier, 0)
	p.me.Store(slot)
	life := p.guard()
	for i := Lives - 1; i >= 0; i-- {
		atomic.StoreUint32(&mine.lives[i].life, life)
	}
	p.ring(slot)
	for {
		cell := p.memory.load()
		if cell.holder() != slot || p.bury(cell) {
			break
		}
	}
	if debts != 0 {
		p.passOn()
		atomic.AddUint32(&mine.debts, -debts)
	}
	p.sentinel.kick()
}

// enter takes a slot if this process has none. It returns when the slot is this process's, also if
// another goroutine takes it: moveIn frees the lock that is held in the name of the slot.
func (p *page) enter() error {
	mutex.Lock()
	defer mutex.Unlock()
	if p.me.Load() != 0 {
		return nil
	}
	p.assign()
	for slot := uint32(1); slot <= Slots; slot++ {
		if !p.mayBeFree(slot) {
			continue
		}
		switch err := p.lockByte(slot); {
		case err == unix.EAGAIN:
		case err != nil:
			p.forget()
			return err
		case p.mayBeFree(slot):
			p.moveIn(slot)
			return nil
		default: // its process lives, and has lost its byte lock
			_ = unix.FcntlFlock(uintptr(p.fd), unix.F_SETLK, byteOf(slot, unix.F_UNLCK))
		}
	}
	p.forget()
	return fmt.Errorf("%s: all %d slots are taken", p.path, Slots)
}

// leave gives the slot back.
func (p *page) leave() {
	me := p.me.Load()
	if me == 0 {
		return
	}
	p.forget()
	for i := range Lives {
		life := p.life(me, i)
		atomic.StoreUint32(life, 0)
		wake(life, math.MaxInt32, channelAny)
	}
	p.me.Store(0)
}
