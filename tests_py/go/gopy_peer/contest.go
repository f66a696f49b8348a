package peer

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/golock/golock/golock"
)

// A Contest is a lock for which goroutines and Python threads contend.
type Contest struct {
	lock  *golock.Lock
	turns *Turns

	over       atomic.Bool
	goroutines sync.WaitGroup
	acquires   atomic.Int64
}

// Turns is memory of Python, guarded by the lock. It holds how long each side had the lock. A turn
// begins with the first acquire of a side after one of the other side.
type Turns struct {
	side    int64 // 0: Python, 1: Go
	since   int64 // CLOCK_MONOTONIC, in nanoseconds
	elapsed [2]int64
}

// NewContest starts goroutines that compute for the given number of steps with the lock and as many
// without it, again and again. The addresses are those of a lock and of its Turns.
func NewContest(lock, turns uintptr, goroutines, steps int) (*Contest, error) {
	l, err := golock.At(lock)
	if err != nil {
		return nil, err
	}
	c := &Contest{lock: l, turns: *(**Turns)(unsafe.Pointer(&turns))}
	for range goroutines {
		c.goroutines.Add(1)
		go c.fight(steps)
	}
	return c, nil
}

func (c *Contest) fight(steps int) {
	defer c.goroutines.Done()
	for n := int64(0); ; n++ {
		if c.over.Load() {
			c.acquires.Add(n)
			return
		}
		c.lock.Lock()
		if c.turns.side != 1 {
			c.turns.begin(1)
		}
		work(steps)
		c.lock.Unlock()
		work(steps)
	}
}

func (t *Turns) begin(side int64) {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	t.elapsed[t.side] += now.Nano() - t.since
	t.side, t.since = side, now.Nano()
}

//go:noinline
func work(steps int) {
	for range steps {
	}
}

// Stop ends the goroutines and returns how often they took the lock.
func (c *Contest) Stop() int {
	c.over.Store(true)
	c.goroutines.Wait()
	return int(c.acquires.Load())
}
