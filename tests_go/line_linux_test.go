//go:build !golock_portable

package tests_go

import (
	"context"
	"os"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golock/golock/golock"
)

// threads counts the OS threads of the process.
func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

var stacks = regexp.MustCompile(`(?m)^(\d+) @.*\n((?:#.*\n)+)`)

// waitForALock counts the goroutines that wait in a line or in the kernel. It uses a profile,
// because there may be too many stacks to write one by one.
func waitForALock(t *testing.T) int {
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, stack := range stacks.FindAllStringSubmatch(profile.String(), -1) {
		if strings.Contains(stack[2], "core.(*place).wait+") ||
			strings.Contains(stack[2], "core.park+") {
			n, err := strconv.Atoi(stack[1])
			if err != nil {
				t.Fatal(err)
			}
			count += n
		}
	}
	return count
}

// Thousands of goroutines that wait for a lock or a permit need only a few more threads, and all
// get it.
func TestManyGoroutinesNeedFewThreads(t *testing.T) {
	const added = 4
	var lock golock.Lock
	var empty golock.Semaphore
	for _, c := range []struct {
		name    string
		acquire func() error
		release func()
	}{
		{"Lock", func() error { lock.Lock(); return nil }, lock.Unlock},
		{"LockContext", func() error { return lock.LockContext(t.Context()) }, lock.Unlock},
		{
			"Semaphore",
			func() error { return empty.Acquire(context.Background()) },
			func() { empty.Release(1) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "Semaphore" {
				lock.Lock()
			}
			before := threads(t)
			var group sync.WaitGroup
			count := 0
			for range manyGoroutines {
				group.Add(1)
				go func() {
					defer group.Done()
					if err := c.acquire(); err != nil {
						t.Error(err)
						return
					}
					count++
					c.release()
				}()
			}
			for waiting := 0; waiting != manyGoroutines; waiting = waitForALock(t) {
				time.Sleep(time.Millisecond)
			}
			if n := threads(t); n > before+added {
				t.Errorf("there are %d threads, %d before", n, before)
			}
			c.release()
			group.Wait()
			if count != manyGoroutines {
				t.Errorf("%d of %d got it", count, manyGoroutines)
			}
			if n := threads(t); n > before+added {
				t.Errorf("there are %d threads in the end, %d before", n, before)
			}
			if c.name == "Semaphore" && !empty.TryAcquire() {
				t.Error("the permit is lost")
			}
		})
	}
	if lock.Locked() {
		t.Error("the lock is not free in the end")
	}
}
