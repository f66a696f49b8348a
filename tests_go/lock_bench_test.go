//lint:file-ignore SA2001 a pair of calls is what is measured

package tests_go

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/golock/golock/golock"
	"golang.org/x/sync/semaphore"
)

// What golock is compared with, besides sync.Mutex.
type (
	channel  chan struct{}
	weighted struct{ *semaphore.Weighted }
)

func (c channel) Lock()   { c <- struct{}{} }
func (c channel) Unlock() { <-c }
func (c channel) LockContext(ctx context.Context) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w weighted) Lock()                                 { _ = w.Acquire(context.Background(), 1) }
func (w weighted) Unlock()                               { w.Release(1) }
func (w weighted) LockContext(ctx context.Context) error { return w.Acquire(ctx, 1) }

func newChannel() channel   { return make(channel, 1) }
func newWeighted() weighted { return weighted{semaphore.NewWeighted(1)} }

// work computes for the given number of steps.
func work(state uint32, steps int) uint32 {
	for range steps {
		state = state*1664525 + 1013904223
	}
	return state
}

// The calls use the concrete types, as a program does, so that they can be inlined.

func BenchmarkUncontended(b *testing.B) {
	b.Run("call=Lock/lock=golock", func(b *testing.B) {
		var l golock.Lock
		for b.Loop() {
			l.Lock()
			l.Unlock()
		}
	})
	b.Run("call=Lock/lock=sync.Mutex", func(b *testing.B) {
		var l sync.Mutex
		for b.Loop() {
			l.Lock()
			l.Unlock()
		}
	})
	b.Run("call=Lock/lock=channel", func(b *testing.B) {
		l := newChannel()
		for b.Loop() {
			l.Lock()
			l.Unlock()
		}
	})
	b.Run("call=Lock/lock=Weighted", func(b *testing.B) {
		l := newWeighted()
		for b.Loop() {
			l.Lock()
			l.Unlock()
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.Run("call=LockContext/lock=golock", func(b *testing.B) {
		var l golock.Lock
		for b.Loop() {
			if l.LockContext(ctx) == nil {
				l.Unlock()
			}
		}
	})
	b.Run("call=LockContext/lock=channel", func(b *testing.B) {
		l := newChannel()
		for b.Loop() {
			if l.LockContext(ctx) == nil {
				l.Unlock()
			}
		}
	})
	b.Run("call=LockContext/lock=Weighted", func(b *testing.B) {
		l := newWeighted()
		for b.Loop() {
			if l.LockContext(ctx) == nil {
				l.Unlock()
			}
		}
	})
}

func BenchmarkContended(b *testing.B) {
	for _, parallelism := range []int{1, 4, 32} {
		for _, peer := range []struct {
			name string
			lock sync.Locker
		}{
			{"golock", new(golock.Lock)},
			{"sync.Mutex", new(sync.Mutex)},
			{"channel", newChannel()},
			{"Weighted", newWeighted()},
		} {
			for _, steps := range []int{0, 20, 200} {
				goroutines := parallelism * runtime.GOMAXPROCS(0)
				name := fmt.Sprintf("goroutines=%d/steps=%d/lock=%s", goroutines, steps, peer.name)
				b.Run(name, func(b *testing.B) {
					shared := uint32(0)
					b.SetParallelism(parallelism)
					b.RunParallel(func(pb *testing.PB) {
						own := uint32(0)
						for pb.Next() {
							peer.lock.Lock()
							shared = work(shared, steps)
							peer.lock.Unlock()
							own = work(own, steps)
						}
					})
				})
			}
		}
	}
}
