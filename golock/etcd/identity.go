package etcd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// A Process says whose a key is. It is the key's value, in JSON.
type Process struct {
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Program string `json:"program"`
	// Machine and Start tell processes of one machine from others: the boot with the namespace of
	// the PID, and when the process started, in the kernel's clock ticks since the boot.
	Machine string `json:"machine,omitempty"`
	Start   string `json:"start,omitempty"`
}

func thisProcess() Process {
	host, _ := os.Hostname()
	program := ""
	if len(os.Args) > 0 {
		program = filepath.Base(os.Args[0])
	}
	if name, err := os.ReadFile("/proc/self/comm"); err == nil {
		program = strings.TrimSpace(string(name))
	}
	start, _ := startOf(os.Getpid())
	return Process{Host: host, PID: os.Getpid(), Program: program, Machine: machine(), Start: start}
}

func (p Process) encode() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func decode(text []byte) (p Process) {
	_ = json.Unmarshal(text, &p) // somebody else's key has no process
	return p
}
