package etcd

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// machine names this boot of this machine, and the namespaces of this process's PID and of the
// times at which it sees processes start. It is empty if /proc shows another namespace's processes.
var machine = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return ""
	}
	clock, _ := os.Readlink("/proc/self/ns/time") // kernels before 5.6 have none
	return strings.TrimSpace(string(boot)) + " " + namespace + " " + clock
})

// startOf returns when a process started. It reports whether that can be known.
func startOf(pid int) (string, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The second field, the name in brackets, may contain anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const start = 22 - 3
	if len(fields) <= start {
		return "", false
	}
	return fields[start], true
}

// waitForDeath waits until a process of this machine has ended, and reports whether it has. It
// returns false at once for one of another machine, and when done is closed.
func waitForDeath(done <-chan struct{}, p Process) bool {
	if p.Machine == "" || p.Machine != machine() || p.PID <= 0 || p.PID == os.Getpid() {
		return false
	}
	descriptor, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(descriptor), "process")
	defer file.Close()
	// The descriptor holds on to the process that has the PID now, which may be another one.
	if start, known := startOf(p.PID); known && start != p.Start {
		return true
	}
	connection, err := file.SyscallConn()
	if err != nil {
		return false
	}
	ended := make(chan bool, 1)
	go func() {
		died := false
		err := connection.Read(func(descriptor uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			died = err == nil && n == 1
			return died
		})
		ended <- err == nil && died
	}()
	select {
	case died := <-ended:
		return died
	case <-done:
		return false
	}
}
