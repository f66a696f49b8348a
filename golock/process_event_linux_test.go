package golock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/golock/golock/golock"
)

const eventChild = "GOLOCK_TEST_EVENT"

// waitInChild is what a process does that waits for the event of a name.
func waitInChild(name string) {
	event, err := golock.OpenProcessEvent(name)
	if err != nil {
		panic(err)
	}
	fmt.Println("waits")
	if err := event.Wait(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("waited")
}

func processEvent(t *testing.T) (*golock.ProcessEvent, string) {
	t.Helper()
	name := fmt.Sprintf("%s event %d", t.Name(), os.Getpid())
	event, err := golock.OpenProcessEvent(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		event.Close()
		if err := os.Remove(fmt.Sprintf("/dev/shm/golock-%d/%s", os.Geteuid(), name)); err != nil {
			t.Error(err)
		}
	})
	return event, name
}

func TestProcessEventCalls(t *testing.T) {
	event, name := processEvent(t)
	again, err := golock.OpenProcessEvent(name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if event.IsSet() || !errors.Is(event.Wait(ended), context.Canceled) {
		t.Error("set at first")
	}
	for range 2 {
		event.Set()
		if !again.IsSet() || again.Wait(ended) != nil {
			t.Error("not set")
		}
	}
	for range 2 {
		again.Clear()
		if event.IsSet() {
			t.Error("not cleared")
		}
	}
}

func TestProcessEventIsNoLock(t *testing.T) {
	event, name := processEvent(t)
	lock, lockName := processLock(t)
	refused := func() {
		t.Helper()
		_, err := golock.OpenProcessLock(name)
		if err == nil || !strings.HasSuffix(err.Error(), name+": not the page of a lock") {
			t.Error(err)
		}
		_, err = golock.OpenProcessEvent(lockName)
		if err == nil || !strings.HasSuffix(err.Error(), lockName+": not the page of an event") {
			t.Error(err)
		}
	}
	refused()
	event.Close()
	lock.Close()
	refused()
}

func TestProcessEventWakesGoroutinesAndProcesses(t *testing.T) {
	event, name := processEvent(t)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), eventChild+"="+name)
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	lines.Scan()
	results := make(chan error)
	const goroutines = 1000
	for range goroutines {
		go func() { results <- event.Wait(context.Background()) }()
	}
	event.Set()
	for range goroutines {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if lines.Scan(); lines.Text() != "waited" {
		t.Errorf("the child says %q", lines.Text())
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// Every goroutine sees every flash: a set that is cleared at once.
func TestProcessEventFlashes(t *testing.T) {
	event, _ := processEvent(t)
	const goroutines, flashes = 8, 500
	for range flashes {
		var waiting, done sync.WaitGroup
		for range goroutines {
			waiting.Add(1)
			done.Add(1)
			go func() {
				defer done.Done()
				waiting.Done()
				_ = event.Wait(context.Background())
			}()
		}
		waiting.Wait()
		all := make(chan struct{})
		go func() { done.Wait(); close(all) }()
		for open := true; open; {
			event.Set()
			event.Clear()
			select {
			case <-all:
				open = false
			default:
			}
		}
	}
}

// A goroutine that sleeps for others and is cancelled lets another one sleep.
func TestProcessEventCancelled(t *testing.T) {
	event, _ := processEvent(t)
	for range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		cancelled, woken := make(chan error), make(chan error)
		go func() { cancelled <- event.Wait(ctx) }()
		go func() { woken <- event.Wait(context.Background()) }()
		go func() { cancelled <- event.Wait(ctx) }()
		cancel()
		for range 2 {
			if err := <-cancelled; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		event.Set()
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		event.Clear()
	}
}

// The race detector sees that what happened before Set is visible after Wait.
func TestProcessEventOrders(t *testing.T) {
	event, _ := processEvent(t)
	value := 0
	go func() {
		value = 1
		event.Set()
	}()
	if err := event.Wait(context.Background()); err != nil || value != 1 {
		t.Error(err, value)
	}
}
