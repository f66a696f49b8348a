// Package tests_go tests the module from outside.
package tests_go

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/golock/golock/golock"
)

// The cases that python -m golock conformance compares with CPython's lock. Those marked "go" use
// only the arguments blocking and timeout.
const vectors = "../pyext/golock/conformance/lock.json"

type vector struct {
	Name  string
	Go    bool
	Start string
	Steps []step
	End   string
}

type step struct {
	Call    string
	Args    []any
	Kwargs  map[string]any
	Returns any
	Raises  string
}

// exceptions maps a Python exception's name to the errors that stand for it in Go.
var exceptions = map[string][]error{
	"RuntimeError": {golock.ErrUnlocked},
	"ValueError": {
		golock.ErrNonBlockingTimeout, golock.ErrNegativeTimeout, golock.ErrNaNTimeout,
	},
	"OverflowError": {golock.ErrTimeoutTooLarge},
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Cases []vector }
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	replayed := 0
	for _, v := range document.Cases {
		if v.Go {
			replayed++
			t.Run(v.Name, func(t *testing.T) { replay(t, v) })
		}
	}
	if replayed == 0 {
		t.Fatalf("no case in %s is marked for Go", vectors)
	}
	t.Logf("%d cases", replayed)
}

func replay(t *testing.T, v vector) {
	lock := golock.PythonLock{Lock: new(golock.Lock)}
	if v.Start == "held" {
		lock.Lock.Lock()
	}
	for i, s := range v.Steps {
		got, err := call(t, lock, s)
		switch {
		case s.Raises != "":
			if !isOneOf(err, exceptions[s.Raises]) {
				t.Errorf("step %d, %s%v: %v, %v; want an error for %s",
					i+1, s.Call, s.Args, got, err, s.Raises)
			}
		case err != nil || got != s.Returns:
			t.Errorf("step %d, %s%v: %v, %v; want %v", i+1, s.Call, s.Args, got, err, s.Returns)
		}
	}
	if held := lock.Locked(); held != (v.End == "held") {
		t.Errorf("locked at the end: %v; want the lock %s", held, v.End)
	}
}

func call(t *testing.T, lock golock.PythonLock, s step) (any, error) {
	switch s.Call {
	case "acquire", "acquire_lock":
		blocking, timeout := true, -1.0
		if value, given := argument(s, 0, "blocking"); given {
			blocking = value.(bool)
		}
		if value, given := argument(s, 1, "timeout"); given {
			timeout = seconds(t, value)
		}
		return lock.Acquire(blocking, timeout)
	case "release", "release_lock":
		return nil, lock.Release()
	case "locked", "locked_lock":
		return lock.Locked(), nil
	}
	t.Fatalf("%s is no call of the Go API", s.Call)
	return nil, nil
}

func argument(s step, position int, name string) (any, bool) {
	if position < len(s.Args) {
		return s.Args[position], true
	}
	value, given := s.Kwargs[name]
	return value, given
}

// seconds undoes the escapes {"$float": "nan"} and {"$int": "18446744073709551616"}.
func seconds(t *testing.T, value any) float64 {
	if escaped, ok := value.(map[string]any); ok {
		for _, text := range escaped {
			number, err := strconv.ParseFloat(text.(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	number, ok := value.(float64)
	if !ok || math.IsNaN(number) {
		t.Fatalf("%v is no number of seconds", value)
	}
	return number
}

func isOneOf(err error, wanted []error) bool {
	for _, w := range wanted {
		if errors.Is(err, w) {
			return true
		}
	}
	return false
}
