package etcd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"golang.org/x/sys/unix"
)

func bootTime() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return now.Nano()
}

// A task is what a worker, a process of its own, is to do.
type task struct {
	Worker    int
	Endpoints []string
	TTL       time.Duration
	Patience  time.Duration
	Holds     bool // the lock, for ever
}

// The test program is also its workers, and members of etcd.
func TestMain(m *testing.M) {
	if os.Getenv("GOLOCK_MEMBER") != "" {
		etcdmain.Main(os.Args)
		return
	}
	if text := os.Getenv("GOLOCK_TASK"); text != "" {
		var given task
		if err := json.Unmarshal([]byte(text), &given); err != nil {
			panic(err)
		}
		given.run()
		return
	}
	os.Exit(m.Run())
}

// run takes the lock again and again, once as a goroutine does and once as a thread of C, and
// writes what it has seen, until its standard input ends.
func (given task) run() {
	client, err := etcd.Connect(etcd.Connection{Endpoints: given.Endpoints})
	if err != nil {
		panic(err)
	}
	if given.Holds {
		given.hold(etcd.NewSpace(client.Client, etcd.Options{TTL: time.Hour}))
	}
	space := etcd.NewSpace(client.Client, etcd.Options{
		TTL: given.TTL, Handoff: 5 * time.Millisecond, Patience: given.Patience,
	})
	lock := space.Lock("shared")
	output := json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	write := func(events []event) {
		writing.Lock()
		defer writing.Unlock()
		for _, e := range events {
			e.Worker = given.Worker
			_ = output.Encode(e)
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		for !ended.Load() {
			call := bootTime()
			<-time.After(timeout)
			write([]event{{Do: "timer", Call: call + int64(timeout), Return: bootTime()}})
		}
	})
	for each := range 2 {
		all.Go(func() {
			for !ended.Load() {
				if each == 0 {
					write(holdOnce(lock, (*etcd.Lock).Acquire, (*etcd.Hold).Release))
				} else {
					write(holdOnce(lock, acquireInThread, releaseInThread))
				}
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = space.Close(ctx)
}

const timeout = time.Second // of an acquire

// holdOnce acquires the lock, looks whether it is lost for a while, and releases it.
func holdOnce(lock *etcd.Lock, acquire func(*etcd.Lock, context.Context) (*etcd.Hold, error),
	release func(*etcd.Hold, context.Context) error) (events []event) {
	call := bootTime()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	hold, err := acquire(lock, ctx)
	if err != nil {
		events = append(events, event{Do: "answer", Call: call + int64(timeout), Return: bootTime()})
		if !errors.Is(err, context.DeadlineExceeded) {
			events[0].Do, events[0].Why = "failure", err.Error()
		}
		time.Sleep(time.Millisecond)
		return events
	}
	token := hold.Token()
	events = append(events, event{Do: "acquire", Call: call, Return: bootTime(), Token: token})
	holds := time.Duration(rand.Int64N(int64(4 * time.Millisecond)))
	if rand.IntN(100) == 0 {
		holds = 3 * time.Second // through faults, and until it is lost
	}
	last := event{Do: "look", Token: token}
	for until := time.Now().Add(holds); ; {
		call := bootTime()
		if hold.Lost() {
			break
		}
		last.Call, last.Return = call, bootTime()
		if time.Now().After(until) {
			break
		}
		time.Sleep(200 * time.Microsecond)
	}
	if last.Call != 0 {
		events = append(events, last)
	}
	call = bootTime()
	if release(hold, context.Background()) == nil {
		events = append(events, event{Do: "release", Call: call, Return: bootTime(), Token: token})
	}
	return events
}

type worker struct {
	number  int
	command *exec.Cmd
	input   io.Closer
	done    chan struct{}
}

func startWorker(t *testing.T, given task, on *host, seen *history) *worker {
	number := given.Worker
	text, _ := json.Marshal(given)
	w := &worker{number: number, command: exec.Command(os.Args[0]), done: make(chan struct{})}
	w.command.Env = append(os.Environ(), "GOLOCK_TASK="+string(text))
	w.command.Stderr = os.Stderr
	input, err := w.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.input = input
	output, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := on.start(w.command); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				seen.add(e)
			}
		}
		if err := w.command.Wait(); err != nil {
			t.Errorf("worker %d: %v", number, err)
		}
	}()
	return w
}

func (w *worker) signal(s syscall.Signal) { _ = w.command.Process.Signal(s) }

// stop waits until the worker ends by itself.
func (w *worker) stop(t *testing.T) {
	_ = w.input.Close()
	select {
	case <-w.done:
	case <-time.After(longestWait):
		t.Errorf("worker %d hangs", w.number)
		w.signal(syscall.SIGQUIT)
		<-w.done
	}
}
