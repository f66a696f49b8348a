package etcd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
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
	Seconds   float64
	Holds     bool // the lock, for ever
}

// The test program is also its workers.
func TestMain(m *testing.M) {
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
// writes what it has seen.
func (given task) run() {
	client, err := etcd.Connect(etcd.Connection{Endpoints: given.Endpoints})
	if err != nil {
		panic(err)
	}
	if given.Holds {
		given.hold(etcd.NewSpace(client.Client, etcd.Options{TTL: time.Hour}))
	}
	space := etcd.NewSpace(client.Client, etcd.Options{
		TTL: time.Second, Handoff: 5 * time.Millisecond, Patience: 2 * time.Second,
	})
	lock := space.Lock("shared")
	output := json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	ends := time.Now().Add(time.Duration(given.Seconds * float64(time.Second)))
	var all sync.WaitGroup
	for each := range 2 {
		all.Go(func() {
			write := func(events []event) {
				writing.Lock()
				defer writing.Unlock()
				for _, e := range events {
					e.Worker = given.Worker*2 + each
					_ = output.Encode(e)
				}
			}
			for time.Now().Before(ends) {
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

// holdOnce acquires the lock, looks whether it is lost for a while, and releases it.
func holdOnce(lock *etcd.Lock, acquire func(*etcd.Lock, context.Context) (*etcd.Hold, error),
	release func(*etcd.Hold, context.Context) error) (events []event) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	call := bootTime()
	hold, err := acquire(lock, ctx)
	if err != nil {
		time.Sleep(time.Millisecond)
		return nil
	}
	token := hold.Token()
	events = append(events, event{Do: "acquire", Call: call, Return: bootTime(), Token: token})
	holds := time.Duration(rand.Int64N(int64(4 * time.Millisecond)))
	if rand.IntN(100) == 0 {
		holds = 2 * time.Second // through faults, and until it is lost
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
	command *exec.Cmd
	proxies []*proxy
	events  []event
	done    chan struct{}
}

func startWorker(t *testing.T, number int, endpoints []string, d time.Duration) *worker {
	w := &worker{done: make(chan struct{})}
	given := task{Worker: number, Seconds: d.Seconds()}
	for _, endpoint := range endpoints {
		p := startProxy(t, endpoint)
		w.proxies = append(w.proxies, p)
		given.Endpoints = append(given.Endpoints, p.address())
	}
	text, _ := json.Marshal(given)
	w.command = exec.Command(os.Args[0])
	w.command.Env = append(os.Environ(), "GOLOCK_TASK="+string(text))
	w.command.Stderr = os.Stderr
	output, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				w.events = append(w.events, e)
			}
		}
		_ = w.command.Wait()
	}()
	return w
}

func (w *worker) signal(s syscall.Signal) { _ = w.command.Process.Signal(s) }
