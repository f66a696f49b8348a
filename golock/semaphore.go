package golock

import (
	"context"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/sight"
)

// A Semaphore is a number of permits. Waiters get a permit in the order of their arrival, but
// newcomers may take one before them for the time set by [SetHandoff].
//
// The zero value has no permits. A Semaphore must not be copied after first use.
type Semaphore struct {
	memory atomic.Uint64 // the word and the permits: see internal/core/cell.go
}

// MaxPermits is the greatest number of permits of a semaphore, 2^32-1.
const MaxPermits = core.MaxPermits

// NewSemaphore returns a semaphore with the given number of permits.
func NewSemaphore(permits uint32) *Semaphore {
	s := new(Semaphore)
	s.init(permits)
	return s
}

func (s *Semaphore) init(permits uint32) { s.memory.Store(core.MemoryOf(permits)) }

// Acquire waits for a permit and takes it. If the context ends first, Acquire returns the context's
// error without a permit. A context that has already ended is an error even if there are permits.
func (s *Semaphore) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.TryAcquire() {
		return nil
	}
	return s.wait(ctx, core.Forever)
}

// TryAcquire takes a permit if there is one that is not reserved for a waiter. It reports whether
// it did.
func (s *Semaphore) TryAcquire() bool {
	taken := s.cell().TryAcquire()
	if taken {
		recordTaken(s.address(), sight.KindSemaphore|sight.Tried)
	}
	return taken
}

// AcquireTimeout waits for a permit for at most d, and reports whether it took one. With d <= 0 it
// does not wait, like [Semaphore.TryAcquire].
func (s *Semaphore) AcquireTimeout(d time.Duration) bool {
	if s.TryAcquire() {
		return true
	}
	return d > 0 && s.wait(context.Background(), core.DeadlineAfter(d)) == nil
}

func (s *Semaphore) wait(ctx context.Context, deadline int64) error {
	return acquire(ctx, s.cell(), s.address(), sight.KindSemaphore, deadline)
}

// Release adds n permits and wakes as many waiters. Any goroutine may release, whether or not it
// has acquired. Release panics, and adds none, if there would be more than [MaxPermits].
func (s *Semaphore) Release(n uint32) {
	if !s.TryRelease(n) {
		panic("golock: release of too many permits")
	}
}

// TryRelease adds n permits as [Semaphore.Release] does, or adds none if there would be more than
// [MaxPermits]. It reports whether it added them.
func (s *Semaphore) TryRelease(n uint32) bool { return s.releaseUpTo(n, MaxPermits) }

func (s *Semaphore) releaseUpTo(n, most uint32) bool {
	if n == 0 {
		return true // and the word is left alone
	}
	if core.OwnersRecorded() {
		sight.Released(s.address(), sight.KindSemaphore, n)
	}
	return s.cell().Release(n, most, true)
}

// Permits returns the number of permits, with those that are reserved for waiters. The answer may
// be out of date when it arrives.
func (s *Semaphore) Permits() uint32 { return s.cell().Permits() }

func (s *Semaphore) cell() core.Cell {
	if s.memory.Load() == 0 {
		s.memory.CompareAndSwap(0, core.MemoryOf(0))
	}
	return core.SemaphoreCell(s.address())
}

func (s *Semaphore) address() *uint32 { return (*uint32)(unsafe.Pointer(&s.memory)) }

// A BoundedSemaphore is a [Semaphore] that never has more permits than it was made with. The zero
// value has none. A BoundedSemaphore must not be copied after first use.
type BoundedSemaphore struct {
	semaphore Semaphore
	bound     uint32
}

// NewBoundedSemaphore returns a semaphore with the given number of permits, which is also its
// bound.
func NewBoundedSemaphore(permits uint32) *BoundedSemaphore {
	s := &BoundedSemaphore{bound: permits}
	s.semaphore.init(permits)
	return s
}

// Acquire does what [Semaphore.Acquire] does.
func (s *BoundedSemaphore) Acquire(ctx context.Context) error { return s.semaphore.Acquire(ctx) }

// TryAcquire does what [Semaphore.TryAcquire] does.
func (s *BoundedSemaphore) TryAcquire() bool { return s.semaphore.TryAcquire() }

// AcquireTimeout does what [Semaphore.AcquireTimeout] does.
func (s *BoundedSemaphore) AcquireTimeout(d time.Duration) bool {
	return s.semaphore.AcquireTimeout(d)
}

// Release adds n permits and wakes as many waiters. It panics, and adds none, if there would be
// more than the bound.
func (s *BoundedSemaphore) Release(n uint32) {
	if !s.TryRelease(n) {
		panic("golock: release of more permits than were acquired")
	}
}

// TryRelease adds n permits as [BoundedSemaphore.Release] does, or adds none if there would be more
// than the bound. It reports whether it added them.
func (s *BoundedSemaphore) TryRelease(n uint32) bool { return s.semaphore.releaseUpTo(n, s.bound) }

// Permits does what [Semaphore.Permits] does.
func (s *BoundedSemaphore) Permits() uint32 { return s.semaphore.Permits() }

// Bound returns the greatest number of permits.
func (s *BoundedSemaphore) Bound() uint32 { return s.bound }
