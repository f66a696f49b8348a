package golock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/golock/golock/golock"
)

const child = "GOLOCK_TEST_HOLD"

// TestMain also serves as a process that takes a lock and holds it until it is killed, or waits for
// an event.
func TestMain(m *testing.M) {
	if name := os.Getenv(eventChild); name != "" {
		waitInChild(name)
		return
	}
	if name := os.Getenv(child); name != "" {
		lock, err := golock.OpenProcessLock(name)
		if err != nil {
			panic(err)
		}
		lock.Lock()
		fmt.Println("holds")
		select {}
	}
	os.Exit(m.Run())
}

func processLock(t *testing.T) (*golock.ProcessLock, string) {
	t.Helper()
	name := fmt.Sprintf("%s %d", t.Name(), os.Getpid())
	lock, err := golock.OpenProcessLock(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lock.Close()
		path := fmt.Sprintf("/dev/shm/golock-%d/%s", os.Geteuid(), name)
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	return lock, name
}

func holder(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), child+"="+name)
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(output).ReadString('\n'); line != "holds\n" {
		t.Fatalf("the holder says %q", line)
	}
	return command
}

func TestProcessLockCalls(t *testing.T) {
	lock, name := processLock(t)
	again, err := golock.OpenProcessLock(name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	lock.Lock()
	if again.TryLock() || again.LockTimeout(time.Millisecond) || !again.Locked() {
		t.Error("taken twice")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := again.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	again.Unlock()
	if lock.Locked() || !lock.TryLock() {
		t.Error("not free")
	}
	lock.Unlock()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	lock.Unlock()
}

func TestProcessLockExcludesGoroutines(t *testing.T) {
	lock, _ := processLock(t)
	counter := 0
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 2000 {
				lock.Lock()
				counter++
				lock.Unlock()
			}
		}()
	}
	all.Wait()
	if counter != 16000 {
		t.Error(counter)
	}
}

func TestProcessLockCancelled(t *testing.T) {
	lock, _ := processLock(t)
	lock.Lock()
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error)
		go func() { result <- lock.LockContext(ctx) }()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	got := make(chan bool)
	go func() { got <- lock.LockTimeout(20 * time.Second) }()
	lock.Unlock()
	if !<-got {
		t.Error("lost")
	}
	lock.Unlock()
}

func TestProcessLockOfADeadHolder(t *testing.T) {
	lock, name := processLock(t)
	for deaths := 1; deaths <= 3; deaths++ {
		command := holder(t, name)
		if lock.TryLock() {
			t.Fatal("taken twice")
		}
		got := make(chan bool)
		go func() { got <- lock.LockTimeout(20 * time.Second) }()
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if !<-got || !lock.Abandoned() {
			t.Fatal("not freed, or not told")
		}
		lock.Unlock()
		if err := lock.LockUnlessAbandoned(context.Background()); err != golock.ErrAbandoned {
			t.Fatal(err)
		}
		_ = command.Wait()
	}
	lock.Lock()
	if deaths := lock.Recover(); deaths != 3 || lock.Abandoned() || lock.Recover() != 0 {
		t.Error(deaths)
	}
	lock.Unlock()
}

func TestProcessLockTellsOfADeathThatNobodyAwaited(t *testing.T) {
	t.Setenv("GOLOCK_SENTINEL", "0")
	lock, name := processLock(t)
	command := holder(t, name)
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if !lock.Abandoned() || lock.Locked() {
		t.Error("not told")
	}
}

func TestProcessLockRefusesForeignFiles(t *testing.T) {
	lock, name := processLock(t)
	lock.Close()
	path := fmt.Sprintf("/dev/shm/golock-%d/%s", os.Geteuid(), name)
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	_, err := golock.OpenProcessLock(name)
	if want := path + ": a torn page: 100 bytes instead of 16384"; err == nil || err.Error() != want {
		t.Error(err)
	}
}
