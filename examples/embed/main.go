//go:build embed

// Command embed runs Python in a Go program. Goroutines and Python threads count in one table,
// under one lock. It is built for one interpreter and uses the packages of a virtual environment of
// that interpreter:
//
//	make .venv/3.11.7/embed
//	.venv/3.11.7/embed .venv/3.11.7/bin/python
//
// Calls from Go to Python are in python.go, those from Python to Go in callback.go. The Python code
// is in script.py.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/capi"
)

//go:embed script.py
var script string

const goroutines = 4

// Shared by goroutines and Python threads. The lock is part of a Python object.
var (
	table [8]int64
	lock  *golock.Lock
)

func init() {
	// Python runs signal handlers in the thread that started it, and the kernel delivers signals to
	// the process's main thread, so these should be the same thread. A goroutine locked in init
	// stays locked in main.
	runtime.LockOSThread()
	// A Python thread that waits for a lock makes short calls into Go. Each needs a scheduler slot,
	// and goroutines that compute on all slots give one up only after 10 ms.
	runtime.GOMAXPROCS(max(128, runtime.GOMAXPROCS(0)))
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: embed python-executable")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(executable string) error {
	python, err := Start(executable)
	if err != nil {
		return err
	}
	if err := python.Share("table", table[:]); err != nil {
		return err
	}
	// Python threads wait with the Go runtime of this program. golock loads none of its own.
	core := fmt.Sprintf("import golock; golock.use_core(%d)", capi.Core())
	if err := python.Run(core); err != nil {
		return err
	}
	if err := python.Run(fmt.Sprintf("total_of_go = %d", totalForPython())); err != nil {
		return err
	}
	if err := python.Run(script); err != nil {
		return err
	}
	address, err := python.Number("lock.address")
	if err != nil {
		return err
	}
	if lock, err = golock.At(uintptr(address)); err != nil {
		return err
	}
	if err = countTogether(python); err != nil {
		return err
	}
	if err = holdWhilePythonWaits(python); err != nil {
		return err
	}
	// No goroutine uses the lock or enters Python any more, so Python may end and free the lock's
	// memory.
	return python.Finish()
}

// countTogether makes goroutines count for as long as Python's threads and child processes do.
func countTogether(python *Python) error {
	ctx, stop := context.WithCancel(context.Background())
	counts := make(chan int64, goroutines)
	for range goroutines {
		go func() { counts <- count(ctx) }()
	}
	err := python.Run("count_in_threads(meanwhile=ask_go)")
	if err == nil {
		err = python.Run("fork_and_return()")
	}
	if err == nil {
		err = python.Run("count_in_children()")
	}
	stop()
	var ours int64
	for range goroutines {
		ours += <-counts
	}
	if err != nil {
		return err
	}
	theirs, err := python.Number("THREADS * ROUNDS")
	if err != nil {
		return err
	}
	sum, err := python.Number("ask_go()")
	if err != nil {
		return err
	}
	fmt.Printf("goroutines: %d, threads: %d, table: %d\n", ours, theirs, sum)
	if ours+theirs != sum {
		return errors.New("the lock did not exclude")
	}
	return nil
}

// count counts until the context ends.
func count(ctx context.Context) (n int64) {
	for lock.LockContext(ctx) == nil {
		table[n%int64(len(table))]++
		lock.Unlock()
		n++
	}
	return n
}

// holdWhilePythonWaits makes a goroutine hold the lock until a line is read, or until Python's main
// thread, which waits for the lock, is interrupted.
func holdWhilePythonWaits(python *Python) error {
	line := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(line)
	}()
	ctx, stop := context.WithCancel(context.Background())
	held, freed := make(chan struct{}), make(chan struct{})
	go func() {
		lock.Lock()
		close(held)
		select {
		case <-line:
		case <-ctx.Done():
		}
		lock.Unlock()
		close(freed)
	}()
	<-held
	err := python.Run("wait_for_goroutine()")
	stop()
	<-freed
	return err
}
