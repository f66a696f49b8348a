package process

import (
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/golock/golock/internal/core"
)

// For each page a sentinel sleeps on its doorbell and on the life words that it watches; and on its
// kick.
const (
	mostWords       = 128
	pagesOfSentinel = (mostWords - 1) / (1 + Lives)
)

const (
	look         = int64(100 * time.Millisecond) // between looks at a lock that threads wait for
	lookAtByte   = int64(50 * time.Millisecond)  // the same without a sentinel
	dyingPause   = int64(30 * time.Microsecond)  // between looks at a dying process
	afterFailure = time.Millisecond              // when the kernel cannot let a sentinel sleep
)

// A sentinel is an OS thread that sleeps until a process dies that uses one of the same pages.
type sentinel struct {
	robust *robustHead // in memory that Go does not move
	life   uint32      // what its life words say: the id of its thread
	kicked atomic.Uint32
	ticks  atomic.Bool // it wakes up by itself
	pages  []*page
}

// robustHead is struct robust_list_head of linux/futex.h.
type robustHead struct {
	next    uintptr
	offset  uintptr
	pending uintptr
}

// waitv is struct futex_waitv of linux/futex.h.
type waitv struct {
	value    uint64
	address  uint64
	flags    uint32
	reserved uint32
}

var (
	sentinels  []*sentinel
	refused    = os.Getenv("GOLOCK_SENTINEL") == "0"
	registered atomic.Uint32 // for expedited barriers
)

// entry returns an entry of the robust list, in front of the mapping.
func (p *page) entry(which int) *uintptr {
	return (*uintptr)(unsafe.Add(unsafe.Pointer(p.life(p.me.Load(), which)), -distance))
}

// assign gives the page a sentinel, started if there is none with room. The page has none if the
// kernel refuses what a sentinel needs.
func (p *page) assign() {
	for _, s := range sentinels {
		if len(s.pages) < pagesOfSentinel {
			p.sentinel = s
		}
	}
	if p.sentinel == nil && !refused {
		p.sentinel = start()
		refused = p.sentinel == nil
	}
	if p.sentinel != nil {
		p.sentinel.pages = append(p.sentinel.pages, p)
	}
}

// guard adds the slot's life words to the robust list, and returns the value that they are to have.
func (p *page) guard() uint32 {
	s := p.sentinel
	if s == nil {
		return LifeByte
	}
	for i := range Lives {
		// The kernel may read the list at any moment, and ignores a word that does not name the
		// thread.
		entry := p.entry(i)
		*entry = s.robust.next
		atomic.StoreUintptr(&s.robust.next, uintptr(unsafe.Pointer(entry)))
	}
	return s.life
}

// forget undoes assign and guard.
func (p *page) forget() {
	s := p.sentinel
	if s == nil {
		return
	}
	if p.me.Load() != 0 {
		for i := range Lives {
			entry := p.entry(i)
			before := &s.robust.next
			for *before != uintptr(unsafe.Pointer(entry)) {
				before = *(**uintptr)(unsafe.Pointer(before))
			}
			atomic.StoreUintptr(before, *entry)
		}
	}
	for i, other := range s.pages {
		if other == p {
			s.pages = append(s.pages[:i], s.pages[i+1:]...)
			break
		}
	}
	p.sentinel = nil
	s.kick()
}

func (s *sentinel) kick() {
	s.kicked.Add(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.kicked)),
		1|futexPrivate, 1, 0, 0, 0) // FUTEX_WAKE
}

// start returns a new sentinel, or nil if the kernel refuses what it needs.
func start() *sentinel {
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil
	}
	s := &sentinel{robust: (*robustHead)(unsafe.Pointer(&memory[0]))}
	works := make(chan bool)
	go func() {
		runtime.LockOSThread()
		s.life = uint32(unix.Gettid()) | futexWaiters
		s.robust.next = uintptr(unsafe.Pointer(s.robust))
		s.robust.offset = uintptr(distance)
		_, _, errno := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST,
			uintptr(unsafe.Pointer(s.robust)), unsafe.Sizeof(*s.robust), 0)
		_, _, probed := unix.RawSyscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0)
		if errno != 0 || probed != unix.EINVAL {
			works <- false
			return // the thread ends with its goroutine
		}
		works <- true
		s.serve()
	}()
	if !<-works {
		return nil
	}
	sentinels = append(sentinels, s)
	if len(sentinels) == 1 {
		go enroll()
	}
	return s
}

// enroll registers the process for expedited barriers, for which the kernel waits for all
// processors, some milliseconds.
func enroll() {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, barrierEnroll, 0, 0); errno != 0 {
		return
	}
	registered.Store(1)
	mutex.Lock()
	defer mutex.Unlock()
	for _, s := range sentinels {
		s.kick()
	}
}

// look passes on a claim that nobody has used since the last look. It reports whether the holder is
// dying.
func (p *page) look() bool {
	dying := p.settle()
	cell := p.memory.load()
	asked := cell&(Waiters|Claimed) == Waiters|Claimed
	if uint64(cell) == p.seen.Load() && (cell.holder() == 0 || cell.claimed() && !asked) {
		p.passOn()
	}
	p.seen.Store(uint64(p.memory.load()))
	return dying
}

// attend handles the deaths of those that were watched. It reports whether to look again soon.
func (p *page) attend() bool {
	soon, owed := false, false
	var handled [Lives]struct{ slot, number uint32 }
	for i := range p.aims {
		a := &p.aims[i]
		if a.slot == 0 || p.loadLife(a.slot, i) == a.life {
			continue
		}
		wake(p.life(a.slot, i), math.MaxInt32, channelAny) // the kernel has woken one of the watchers
		slot := &p.memory.slots[a.slot-1]
		number := atomic.LoadUint32(&slot.lives[0].number)
		life := p.lifeOf(a.slot)
		if life == alive {
			continue // the new owner of the slot passes the debts on
		}
		indebted := atomic.LoadUint32(&slot.debts) != 0
		gone := life == dead && (!indebted || p.byteIsFree(a.slot, true))
		owed = owed || life == dead && indebted && (gone || !a.passedOn)
		a.passedOn = a.passedOn || life == dead
		soon = soon || !gone
		if gone {
			handled[i].slot, handled[i].number = a.slot, number
		}
	}
	soon = p.settle() || soon
	if owed {
		p.passOn()
	}
	if soon {
		return true
	}
	for _, h := range handled {
		if h.slot != 0 {
			atomic.StoreUint32(&p.memory.slots[h.slot-1].lives[1].number, h.number)
		}
	}
	return p.aim()
}

func shared(word *uint32, value uint32) waitv {
	address := uint64(uintptr(unsafe.Pointer(word)))
	return waitv{value: uint64(value), address: address, flags: futexWaitv32}
}

func (s *sentinel) serve() {
	var nextLook, dyingSince int64
	words := make([]waitv, 0, mostWords)
	for {
		kick := shared((*uint32)(unsafe.Pointer(&s.kicked)), s.kicked.Load())
		kick.flags |= futexPrivate
		words = append(words[:0], kick)
		now := core.Now()
		looks := s.ticks.Load() && now >= nextLook
		s.ticks.Store(false) // threads that begin to wait from here on kick
		soon, waits := false, false
		mutex.Lock()
		for _, p := range s.pages {
			me := p.me.Load()
			if me == 0 {
				continue
			}
			mine := &p.memory.slots[me-1]
			doorbell := atomic.LoadUint32(&mine.doorbell)
			atomic.StoreUint32(&mine.barrier, registered.Load())
			dying := p.attend()
			if p.asleep.Load() != 0 {
				waits = true
				dying = looks && p.look() || dying
			}
			if dying {
				soon = true
				continue
			}
			words = append(words, shared(&mine.doorbell, doorbell))
			for i, aim := range p.aims {
				if aim.slot != 0 {
					words = append(words, shared(p.life(aim.slot, i), aim.life))
				}
			}
		}
		mutex.Unlock()
		until := core.Forever
		if waits {
			s.ticks.Store(true)
			if looks || nextLook <= now {
				nextLook = now + look
			}
			until = nextLook
		}
		switch {
		case !soon:
			dyingSince = 0
		case dyingSince == 0:
			dyingSince = now
		}
		if soon {
			until = min(until, now+dyingPause+(now-dyingSince)/8)
		}
		var timeout *unix.Timespec
		if until != core.Forever {
			ts := unix.NsecToTimespec(until)
			timeout = &ts
		}
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&words[0])),
			uintptr(len(words)), 0, uintptr(unsafe.Pointer(timeout)), unix.CLOCK_MONOTONIC, 0)
		switch errno {
		case 0, unix.EAGAIN, unix.ETIMEDOUT, unix.EINTR:
		default:
			time.Sleep(afterFailure) // a page has gone since, or there is no memory
		}
	}
}
