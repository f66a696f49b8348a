package etcd_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/golock/golock/golock/etcd"
)

// A process that is killed has its lock for as long as its lease, an hour, unless another process
// of the machine waits for it.
func TestSiblingFreesTheLockOfAKilledHolder(t *testing.T) {
	endpoint := startServer(t)
	var times []time.Duration
	for range 5 {
		text, _ := json.Marshal(task{Endpoints: []string{endpoint}, Holds: true})
		holder := exec.Command(os.Args[0])
		holder.Env = append(os.Environ(), "GOLOCK_TASK="+string(text))
		output, err := holder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := output.Read(make([]byte, 1)); err != nil { // it has the lock
			t.Fatal(err)
		}
		lock := newSpace(t, etcd.Options{}, endpoint).Lock("shared")
		got := make(chan time.Time)
		go func() {
			hold := acquire(t, lock)
			got <- time.Now()
			release(t, hold)
		}()
		waitForKeys(t, endpoint, 2)
		time.Sleep(10 * time.Millisecond)
		killed := time.Now()
		_ = holder.Process.Signal(syscall.SIGKILL)
		times = append(times, (<-got).Sub(killed))
		_ = holder.Wait()
		waitForKeys(t, endpoint, 0)
	}
	t.Logf("from SIGKILL to the next holder: %v", times)
}

// hold takes the lock and keeps it.
func (given task) hold(space *etcd.Space) {
	if _, err := space.Lock("shared").Acquire(context.Background()); err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("!")
	select {}
}
