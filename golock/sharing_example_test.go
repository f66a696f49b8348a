package golock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/internal/core"
)

// An object stands for a Python object: the memory of a header and the word behind it. Its address
// is what golock.shared(...) gives.
type object struct {
	magic   uint32
	version uint16
	kind    core.Kind
	_       uint8
	word    uint64
}

func share(kind core.Kind) (address uintptr, keep *object) {
	o := &object{magic: core.HeaderMagic, version: core.Version, kind: kind}
	return uintptr(unsafe.Pointer(o)), o
}

// Table is a table that goroutines and Python threads read and write, under a lock of Python's.
type Table struct {
	lock *golock.Lock
	rows map[string]int
}

// OpenTable is called by Python, with lock.address.
func OpenTable(address uintptr) (*Table, error) {
	lock, err := golock.At(address)
	if err != nil {
		return nil, err
	}
	return &Table{lock: lock, rows: map[string]int{}}, nil
}

// Goroutines and Python threads change a table under one lock.
func ExampleAt() {
	address, lock := share(core.KindLock)
	table, err := OpenTable(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			table.lock.Lock()
			defer table.lock.Unlock()
			table.rows["done"]++
		}()
	}
	workers.Wait()
	fmt.Println(table.rows["done"])

	lock.magic = 0 // the lock is gone
	_, err = OpenTable(address)
	var wrong *golock.AddressError
	fmt.Println(errors.As(err, &wrong), wrong.Reason)
	// Output:
	// 8
	// true not a shared golock object, or one that no longer exists
}

// Total is called by Python with the GIL. The lock's owner may need the GIL to go on, so the wait
// has a limit.
func (t *Table) Total() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := t.lock.LockContext(ctx); err != nil {
		return 0, fmt.Errorf("the table is busy: %w", err)
	}
	defer t.lock.Unlock()
	total := 0
	for _, row := range t.rows {
		total += row
	}
	return total, nil
}

// Go code that has the GIL waits for a limited time. The mutex gil stands for the GIL. One thread
// has the lock and waits for the GIL; the other has the GIL and wants the lock.
func ExampleLock_LockContext() {
	var gil sync.Mutex
	table := &Table{lock: new(golock.Lock), rows: map[string]int{"a": 1, "b": 2}}

	gil.Lock()
	table.lock.Lock()
	var thread sync.WaitGroup
	thread.Add(1)
	go func() {
		defer thread.Done()
		gil.Lock()
		table.lock.Unlock()
		gil.Unlock()
	}()

	_, err := table.Total()
	fmt.Println(err)
	gil.Unlock()

	thread.Wait()
	fmt.Println(table.Total())
	// Output:
	// the table is busy: context deadline exceeded
	// 3 <nil>
}

// Report calls Python through a function that takes the GIL. It passes a copy and does not hold the
// lock, so that others who want the lock need not wait for the GIL.
func (t *Table) Report(call func(rows map[string]int)) {
	t.lock.Lock()
	rows := maps.Clone(t.rows)
	t.lock.Unlock()
	call(rows)
}

// Data for Python is copied under the lock. Python is called without the lock.
func ExampleLock_Unlock() {
	table := &Table{lock: new(golock.Lock), rows: map[string]int{"a": 1}}
	table.Report(func(rows map[string]int) {
		table.lock.Lock() // as Python code may, that was called
		defer table.lock.Unlock()
		fmt.Println(rows)
	})
	// Output: map[a:1]
}

// A goroutine that cannot wait goes on with something else.
func ExampleLock_LockTimeout() {
	table := &Table{lock: new(golock.Lock), rows: map[string]int{}}
	table.lock.Lock() // a Python thread has the lock
	if !table.lock.LockTimeout(time.Millisecond) {
		fmt.Println("later")
	}
	// Output: later
}

// At most two goroutines and Python threads, taken together, work at once.
func ExampleSemaphoreAt() {
	address, keep := share(core.KindSemaphore)
	semaphore, err := golock.SemaphoreAt(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	semaphore.Release(2)
	fmt.Println(semaphore.TryAcquire(), semaphore.TryAcquire(), semaphore.TryAcquire())
	runtime.KeepAlive(keep)
	// Output: true true false
}

// Python sets the event, and goroutines that wait for it go on.
func ExampleEventAt() {
	address, keep := share(core.KindEvent)
	event, err := golock.EventAt(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	go event.Set() // as Python would
	fmt.Println(event.Wait(context.Background()))
	runtime.KeepAlive(keep)
	// Output: <nil>
}
