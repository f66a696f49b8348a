package golock

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/golock/golock/internal/core"
)

// An object is the part of a Python object that is shared: a header and the word behind it.
type object struct {
	header struct {
		magic   uint32
		version uint16
		kind    core.Kind
	}
	word [2]uint32
}

func (m *object) address() uintptr { return uintptr(unsafe.Pointer(m)) }

func sharedAs(kind core.Kind) *object {
	o := new(object)
	o.header.magic, o.header.version, o.header.kind = core.HeaderMagic, core.Version, kind
	return o
}

func TestAtGivesTheWordBehindTheHeader(t *testing.T) {
	m := sharedAs(core.KindLock)
	lock, err := At(m.address())
	if err != nil {
		t.Fatal(err)
	}
	lock.Lock()
	if m.word != [2]uint32{core.Held, 0} {
		t.Errorf("the word is %#x after Lock", m.word)
	}

	m = sharedAs(core.KindSemaphore)
	semaphore, err := SemaphoreAt(m.address())
	if err != nil {
		t.Fatal(err)
	}
	semaphore.Release(5)
	if m.word != [2]uint32{0, 5} {
		t.Errorf("the words are %#x after Release(5)", m.word)
	}

	m = sharedAs(core.KindEvent)
	event, err := EventAt(m.address())
	if err != nil {
		t.Fatal(err)
	}
	event.Set()
	if m.word != [2]uint32{core.SetOnce | core.Set, 0} {
		t.Errorf("the word is %#x after Set", m.word)
	}
}

func TestAtRefusesWhatIsNoSharedObject(t *testing.T) {
	gone, newer, lock := sharedAs(core.KindLock), sharedAs(core.KindLock), sharedAs(core.KindLock)
	gone.header.magic = 0
	newer.header.version = core.Version + 1
	other := new([2]uint64)
	another := fmt.Sprintf("of version %d of golock's protocol, and this is version %d",
		core.Version+1, core.Version)
	for name, c := range map[string]struct {
		address uintptr
		reason  string
	}{
		"nil":        {0, "nil"},
		"misaligned": {lock.address() + 4, "misaligned"},
		"the word":   {uintptr(unsafe.Pointer(&lock.word)), "not a shared golock object"},
		"zeros":      {uintptr(unsafe.Pointer(other)), "not a shared golock object"},
		"gone":       {gone.address(), "no longer exists"},
		"newer":      {newer.address(), another},
		"semaphore":  {sharedAs(core.KindSemaphore).address(), "shared as Semaphore, not as Lock"},
	} {
		l, err := At(c.address)
		var wrong *AddressError
		if !errors.As(err, &wrong) || l != nil || wrong.Address != c.address ||
			!strings.Contains(err.Error(), c.reason) {
			t.Errorf("At(%s) returned %v, %v", name, l, err)
		}
	}
	_, err := SemaphoreAt(lock.address())
	if err == nil || !strings.HasSuffix(err.Error(), "shared as Lock, not as Semaphore") {
		t.Errorf("SemaphoreAt(lock) returned %v", err)
	}
	_, err = EventAt(lock.address())
	if err == nil || !strings.HasSuffix(err.Error(), "shared as Lock, not as Event") {
		t.Errorf("EventAt(lock) returned %v", err)
	}
}
