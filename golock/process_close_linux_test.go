package golock_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/golock/golock/golock"
)

// A program that becomes a daemon closes all descriptors, and their numbers become those of its own
// files.
func TestCloseLeavesAnotherFileOpen(t *testing.T) {
	name := fmt.Sprintf("%s %d", t.Name(), os.Getpid())
	event, err := golock.OpenProcessEvent(name)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/shm/golock-%d/%s", os.Geteuid(), name)
	defer os.Remove(path)
	own, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	number := descriptorOf(t, path)
	if err := unix.Dup2(int(own.Fd()), number); err != nil {
		t.Fatal(err)
	}
	event.Close()
	if err := unix.Close(number); err != nil {
		t.Errorf("Close has closed the program's own file: %v", err)
	}
}

func descriptorOf(t *testing.T, path string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found, err := os.Stat("/proc/self/fd/" + entry.Name())
		if err == nil && os.SameFile(found, wanted) {
			number, err := strconv.Atoi(entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatal("no descriptor is that of the page")
	return 0
}
