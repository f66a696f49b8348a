//go:build !golock_portable

package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Asleep returns the number of threads that sleep in the kernel on the word.
func Asleep(word *uint32) int {
	asleep := fmt.Sprintf("%d %#x ", unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)))
	tasks, _ := filepath.Glob("/proc/self/task/*/syscall")
	count := 0
	for _, task := range tasks {
		content, _ := os.ReadFile(task)
		if strings.HasPrefix(string(content), asleep) {
			count++
		}
	}
	return count
}
