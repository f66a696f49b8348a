package golock

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/golock/golock/internal/core"
)

// A Semaphore is a number of permits. It is fair as a [Lock] is: those that wait for a permit get one in the
// order of their arrival; newcomers may go first, for the time set by [SetHandoff].
//
// The zero value has no permits. A Semaphore must not be copied after first use.
type Semaphore struct {
	memory atomic.Uint64 // the word, and the permits: see internal/core/cell.go
}

// MaxPermits is how many permits a semaphore can have.
const MaxPermits = core.MaxPermits

// NewSemaphore returns a semaphore with that many permits.
func NewSemaphore(permits uint32) *Semaphore {
	s := new(Semaphore)
	s.init(permits)
	return s
}

func (s *Semaphore) init(permits uint32) { s.memory.Store(core.MemoryOf(permits)) }

// Acquire takes a permit, or returns the context's error when the context ends first; then it has taken
// none. A context that has already ended is an error even when there are permits.
func (s *Semaphore) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.TryAcquire() {
		return nil
	}
	return s.cell().Wait(ctx, core.Forever)
}

// TryAcquire takes a permit if there is one and no waiter is owed it, and reports whether it did.
func (s *Semaphore) TryAcquire() bool { return s.cell().TryAcquire() }

// AcquireTimeout takes a permit, or gives up when d has passed, and reports whether it took one. With
// d <= 0 it does not wait.
func (s *Semaphore) AcquireTimeout(d time.Duration) bool {
	if s.TryAcquire() {
		return true
	}
	return d > 0 && s.cell().Wait(context.Background(), core.DeadlineAfter(d)) == nil
}

// Release adds n permits, and lets so many of those that wait go on. Anybody may release, whether or not they
// have acquired. Release panics, and adds none, when there would be more than [MaxPermits].
func (s *Semaphore) Release(n uint32) {
	if !s.ReleaseUpTo(n, MaxPermits) {
		panic("golock: a semaphore with too many permits")
	}
}

// ReleaseUpTo adds n permits, or adds none when there would be more than most, and reports whether there
// would not. One that adds 0 asks whether there are more than most.
func (s *Semaphore) ReleaseUpTo(n, most uint32) bool {
	if n == 0 {
		return s.Permits() <= most
	}
	return s.cell().Release(n, most, true)
}

// Permits returns how many permits there are; some may be owed to waiters. It may be out of date at once.
func (s *Semaphore) Permits() uint32 { return s.cell().Permits() }

func (s *Semaphore) cell() core.Cell {
	if s.memory.Load() == 0 {
		s.memory.CompareAndSwap(0, core.MemoryOf(0))
	}
	return core.SemaphoreCell((*uint32)(unsafe.Pointer(&s.memory)))
}

// ErrReleasedTooOften is the error of a [BoundedSemaphore] that is released more often than acquired; it
// stands for Python's ValueError.
var ErrReleasedTooOften = errors.New("semaphore released too many times")

// A BoundedSemaphore is a [Semaphore] that never has more permits than at first. The zero value never has
// any.
type BoundedSemaphore struct {
	semaphore Semaphore
	bound     uint32
}

// NewBoundedSemaphore returns a semaphore with that many permits, and never more.
func NewBoundedSemaphore(permits uint32) *BoundedSemaphore {
	s := &BoundedSemaphore{bound: permits}
	s.semaphore.init(permits)
	return s
}

// Acquire does as [Semaphore.Acquire].
func (s *BoundedSemaphore) Acquire(ctx context.Context) error { return s.semaphore.Acquire(ctx) }

// TryAcquire does as [Semaphore.TryAcquire].
func (s *BoundedSemaphore) TryAcquire() bool { return s.semaphore.TryAcquire() }

// AcquireTimeout does as [Semaphore.AcquireTimeout].
func (s *BoundedSemaphore) AcquireTimeout(d time.Duration) bool {
	return s.semaphore.AcquireTimeout(d)
}

// Release adds n permits, or returns [ErrReleasedTooOften] and adds none.
func (s *BoundedSemaphore) Release(n uint32) error {
	if !s.semaphore.ReleaseUpTo(n, s.bound) {
		return ErrReleasedTooOften
	}
	return nil
}

// Permits does as [Semaphore.Permits].
func (s *BoundedSemaphore) Permits() uint32 { return s.semaphore.Permits() }

// Bound returns how many permits there may be.
func (s *BoundedSemaphore) Bound() uint32 { return s.bound }
