// Package process implements locks and events across processes. Package golock wraps them for Go
// programs; Python's threads take the same steps in C, pyext/native/process, because a wait must
// not load a Go runtime into every process that contends.
package process

import "unsafe"

// A lock across processes.
//
// A lock is a page: a file in memory that its users map. The page has a cell, the state of the
// lock, and a table of slots, one for each process that uses it.
//
//	cell   63                 32 31         13 12        3     2         1         0
//	      ┌─────────────────────┬─────────────┬───────────┬─────────┬─────────┬─────────┐
//	      │ count of acquires   │   deaths    │  holder   │ handoff │ claimed │ waiters │
//	      └─────────────────────┴─────────────┴───────────┴─────────┴─────────┴─────────┘
//	                            └──────────── the word, on which waiters sleep ─────────┘
//
// Holder: 1 + the slot of the process that has the lock, or 0: the lock is free. One
// compare-and-swap takes the lock and says who has it, so there is no moment in which a holder that
// dies is unknown. It is a slot and not a process id, because ids are used again, and mean
// something else in another PID namespace.
//
// Waiters, Claimed, Handoff: the protocol of the lock word in internal/core/word.go, with Claimed
// in place of a named claimant. It does not say whose waiter is on its way: whoever was woken and
// dies may have died before it could write its name.
//
// Deaths: how many holders have died since the last recovery. It changes in the same
// compare-and-swap that frees the lock of a dead holder, so each death is told, and told once. It
// stays, whoever takes and releases the lock, until a holder recovers what the lock protects.
//
// Count: each acquire changes it, so a cell that is read again unchanged is the same hold by the
// same holder. A slot may be used again, and its new owner may hold the lock meanwhile; a late
// compare-and-swap by somebody who was stopped in between then fails.
//
// # Who lives
//
// A slot has two life words, a doorbell, and a byte of the file that its process keeps locked
// (fcntl, F_SETLK).
//
//	life words            the slot is
//	0                     free, or its process has left
//	id of a thread        used; the kernel marks the words when the thread ends
//	  | FUTEX_WAITERS
//	FUTEX_OWNER_DIED      that of a dead process, and free
//	LifeByte              used by a process that they do not guard, while the byte is locked
//
// The thread is the process's sentinel: the life words are in its robust list (set_robust_list(2)),
// so the kernel sets FUTEX_OWNER_DIED in them when the process ends, by whatever way, and wakes one
// sleeper of each. The sentinel itself sleeps (futex_waitv(2)) on the first life word of the
// nearest living slot below its own, cyclically, and on the second word of the next but one. So
// each slot is watched by two others, one of which may be stopped or dead as well. A process that
// takes a slot rings the doorbells of its two watchers, before it uses the lock.
//
// Waiters do not watch the holder. The holder changes while they sleep: a newcomer may take the
// lock without waking anybody.
//
// The kernel marks the words while other threads of the process may still run on other processors,
// for some microseconds. They might still write what the lock protects. So whoever sees the mark
// interrupts all processors (membarrier(2), an expedited barrier for registered processes): a
// thread that has been killed does not return from an interrupt. Where that is refused, it waits
// until the byte is unlocked. The kernel unlocks it after the last thread has gone, but only when
// the memory of the process has been freed, which takes some 100 ms for each GB. A byte lock is not
// inherited by fork. It vanishes when its process closes any descriptor of the file, so the byte
// alone never makes a process with guarded words count as dead.
//
// Where the kernel refuses robust lists or futex_waitv (before 5.16, or by a seccomp filter), the
// byte alone says who lives. The sentinel looks every 50 ms while its process has waiters. The byte
// is unlocked when the memory of a killed process has been freed, so a death is seen 50 ms after
// that at the latest. A waiter that woke up to look would lose its place in the kernel's queue.
//
// # What a death leaves
//
// Bury: if the holder is dead, the cell becomes free, with one more death and a claimant, and a
// waiter is woken, as by a release.
//
// Pass on: the dead may have been the claimant, or may have named a claimant and not have woken it.
// Calls that may come to that are counted in the slot, as its debts: waits, and releases and deaths
// that wake somebody. After the death of a process with debts a free lock gets a claimant, who is
// woken, and a held one gets Waiters. Too many wakes harm nobody but the order: a claimant that
// finds the lock taken sleeps again, and a release that finds nobody clears Waiters.
//
// A killed thread that slept on the word may still take a wake, until it has gone. So a debt is
// passed on at once, and again when the byte is unlocked.
//
// The death of a process may be nobody's to see: when it dies, the slot above it may just have been
// taken, by a process whose sentinel does not watch it yet. So the slot says whose death was
// handled last, and a sentinel that looks for those to watch handles the other deaths that it
// finds.
//
// A process that buries, or passes on, may die as well. It has a debt meanwhile, and its watchers
// see its death.
//
// A stopped process (SIGSTOP) is not dead, and nothing tells of it. A stopped holder keeps the
// lock. A stopped claimant delays nobody for long: others may take the lock before it, unless it is
// reserved; a newcomer trusts a reservation for 20 ms; and a sentinel whose process has waiters
// looks every 100 ms, and passes on a claim that nobody has used since it looked last.
//
// The hand-off threshold is that of internal/core, and a tenure is one threshold. Its end is in the
// page, beside the cell.
//
// # Slots
//
// A slot is taken by its byte: two processes cannot lock it at once, and a process that dies before
// it has written the life words leaves a free slot. The new owner writes them first, and then does
// what the death of the old one has left, if the cell still names the slot, or there are debts: it
// may die meanwhile as well. Nobody else resets the words of the dead, so nobody can reset those of
// the living by mistake. The entries of the robust list are in memory of the process itself, in
// front of the mapping and at the same distance from each life word, so that no other process can
// lead the kernel astray.
const (
	Waiters = 1 << 0
	Claimed = 1 << 1
	Handoff = 1 << 2

	HolderShift = 3
	HolderBits  = 10
	DeathsShift = 13

	holderMask = (1<<HolderBits - 1) << HolderShift
	deathsMask = 1<<32 - 1<<DeathsShift
	mostDeaths = 1<<(32-DeathsShift) - 1

	// acquire is one acquire in the count.
	acquire = 1 << 32
)

// Magic begins a page. Version is that of the layout and of the protocol. Size is that of the file.
const (
	Magic   = 0x6B636FC2
	Version = 1
	Size    = 16384
)

// The kinds of pages. An event has no use for the slots, so that nobody needs one for it.
const (
	KindLock  = 1
	KindEvent = 2
)

// The slots of a page, and the life words of a slot.
const (
	Slots = 504
	Lives = 2
)

// LifeByte is the life word of a slot whose byte alone says that it lives. No thread has this id.
const LifeByte = 0x3FFFFFFF

// memory is struct golock_page_memory of golock/capi/golock_page.h.
type memory struct {
	magic   uint32
	version uint32
	size    uint32
	kind    uint32
	_       [112]byte
	cell    uint64
	due     int64 // when the hand-off to the claimant is due, in ns of CLOCK_MONOTONIC; a hint
	_       [112]byte
	slots   [Slots]slot
}

// A slot is a process that uses the page.
type slot struct {
	lives [Lives]struct {
		life uint32
		// Of the first: how many processes have had the slot. Of the second: the number of the last
		// of them whose death has been handled.
		number uint32
	}
	doorbell uint32
	_        uint32
	barrier  uint32 // not 0: the process has registered for expedited memory barriers
	debts    uint32 // calls that a wake may depend on
}

// Layout is the size of the page and the offsets of what C shares; C compares it with its own.
const Layout = uint64(unsafe.Sizeof(memory{})) |
	uint64(unsafe.Offsetof(memory{}.cell))<<16 |
	uint64(unsafe.Offsetof(memory{}.due))<<24 |
	uint64(unsafe.Offsetof(memory{}.slots))<<32 |
	uint64(unsafe.Offsetof(slot{}.doorbell))<<48 |
	uint64(unsafe.Offsetof(slot{}.debts))<<56
