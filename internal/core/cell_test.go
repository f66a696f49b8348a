package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/golock/golock/internal/waittest"
)

// of returns the state with that many permits and these bits, as they are.
func of(permits, bits uint32) state { return state(permits)<<32 | state(bits) }

// memory is a semaphore as its users see it: C's union golock_semaphore.
type memory struct {
	_             [0]uint64 // aligned
	word, permits uint32
}

func (m *memory) cell() Cell { return Cell{word: &m.word, semaphore: true} }

func remember(s state) *memory { return &memory{word: s.word(), permits: s.permits()} }

func (m *memory) state() state { return of(m.permits, m.word) }

func TestCellOfALock(t *testing.T) {
	word := uint32(Waiters | Held)
	c := Cell{word: &word}
	if got := c.load(); got != of(0, Waiters|Held) {
		t.Errorf("a held lock is %#x", got)
	}
	if !c.compareAndSwap(of(0, Waiters|Held), of(1, Handoff)) ||
		word != Handoff || c.load() != of(1, Handoff) {
		t.Errorf("a freed lock is %#x, the word %#x", c.load(), word)
	}
	if c.compareAndSwap(of(1, 0), of(0, Held)) || word != Handoff {
		t.Errorf("a change from another state left %#x", word)
	}
}

func TestCellOfASemaphore(t *testing.T) {
	m := remember(of(3, Handoff|self))
	c := m.cell()
	if got := c.load(); got != of(3, Handoff|self) {
		t.Errorf("the state is %#x", got)
	}
	if !c.compareAndSwap(of(3, Handoff|self), of(0xFFFFFFFF, Waiters)) ||
		m.permits != 0xFFFFFFFF || m.word != Waiters {
		t.Errorf("after a change there are %#x permits, and the word is %#x", m.permits, m.word)
	}
	if c.compareAndSwap(of(3, Waiters), of(2, Waiters)) ||
		c.compareAndSwap(of(0xFFFFFFFF, 0), of(2, 0)) {
		t.Errorf("a change from another state left %#x", m.state())
	}
}

func TestHeldFollowsThePermits(t *testing.T) {
	for _, c := range []struct {
		permits, bits uint32
		want          state
	}{
		{0, 0, of(0, Held)},
		{0, Held | Waiters, of(0, Held|Waiters)},
		{1, Held | Handoff | self, of(1, Handoff|self)},
		{MaxPermits, Waiters, of(MaxPermits, Waiters)},
	} {
		if got := of(c.permits, Held).withFlags(c.bits); got != c.want {
			t.Errorf("%d permits marked with %#x are %#x, want %#x", c.permits, c.bits, got, c.want)
		}
	}
}

func TestSemaphoreReleaseTransitions(t *testing.T) {
	SetHandoff(4 * time.Millisecond)
	defer SetHandoff(DefaultHandoff)
	promptly(t, func() (wrong []string) {
		var other uint32
		early := claimantBits(&other)
		late := self | uint32(now()>>dueUnit-1)<<dueShift&dueMask
		for _, c := range []struct {
			name     string
			before   state
			n, most  uint32
			after    state
			released bool
		}{
			{"none left", of(0, Held), 1, MaxPermits, of(1, 0), true},
			{"none left, many", of(0, Held), 7, MaxPermits, of(7, 0), true},
			{"some left", of(2, 0), 3, MaxPermits, of(5, 0), true},
			{"up to the bound", of(2, 0), 3, 5, of(5, 0), true},
			{"past the bound", of(2, 0), 4, 5, of(2, 0), false},
			{"past the bound, held", of(0, Held|Waiters), 6, 5, of(0, Held|Waiters), false},
			{"past a bound that was lowered", of(5, 0), 1, 3, of(5, 0), false},
			{"a bound of 0", of(0, Held), 1, 0, of(0, Held), false},
			{
				"up to the greatest number",
				of(MaxPermits-1, 0), 1, MaxPermits, of(MaxPermits, 0), true,
			},
			{
				"past the greatest number",
				of(MaxPermits, 0), 1, MaxPermits, of(MaxPermits, 0), false,
			},
			{
				"the greatest number at once",
				of(0, Held), MaxPermits, MaxPermits, of(MaxPermits, 0), true,
			},
			{"so many that the sum begins anew", of(2, 0), MaxPermits, MaxPermits, of(2, 0), false},
			{"nobody sleeps after all", of(0, Held|Waiters), 2, MaxPermits, of(2, 0), true},
			{
				"nobody sleeps, a hand-off was asked for",
				of(0, Held|Waiters|Handoff), 2, MaxPermits, of(2, 0), true,
			},
			{"the claimant is on its way", of(0, Held|early), 2, MaxPermits, of(2, early), true},
			{"the claimant is due", of(0, Held|late), 2, MaxPermits, of(2, Handoff|late), true},
			{
				"somebody asked for a hand-off",
				of(0, Held|Handoff|self), 1, MaxPermits, of(1, Handoff|self), true,
			},
			{
				"the claimant asked",
				of(0, Held|Waiters|Handoff|self), 3, MaxPermits, of(3, Waiters|Handoff|self), true,
			},
			{
				"some left, the claimant is on its way",
				of(1, early), 1, MaxPermits, of(2, early), true,
			},
			{"some left, the claimant is due", of(1, late), 1, MaxPermits, of(2, late), true},
			{"reserved", of(1, Handoff|self), 2, MaxPermits, of(3, Handoff|self), true},
			{
				"reserved for one that asked",
				of(1, Waiters|Handoff|self), 1, MaxPermits, of(2, Waiters|Handoff|self), true,
			},
			{
				"the claimant stayed in the parent",
				of(0, Held|foreign), 1, MaxPermits, of(1, 0), true,
			},
			{
				"some left, the claimant stayed in the parent",
				of(1, foreign), 1, MaxPermits, of(2, foreign), true,
			},
			{
				"the claimant that asked stayed in the parent",
				of(0, Held|Waiters|Handoff|foreign), 1, MaxPermits, of(1, 0), true,
			},
			{
				"reserved in the parent",
				of(1, Handoff|foreign), 1, MaxPermits, of(2, Handoff|foreign), true,
			},
		} {
			m := remember(c.before)
			released := m.cell().Release(c.n, c.most, true)
			if released != c.released || m.state() != c.after {
				wrong = append(wrong, fmt.Sprintf(
					"%s: release(%d, %d) of %#x = %v and leaves %#x, want %v and %#x",
					c.name, c.n, c.most, c.before, released, m.state(), c.released, c.after))
			}
		}
		return wrong
	})
}

func TestSemaphoreTryTransitions(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after state
	}{
		{"some left after", of(2, 0), of(1, 0)},
		{"the last", of(1, 0), of(0, Held)},
		{"as many as can be", of(MaxPermits, 0), of(MaxPermits-1, 0)},
		{"none", of(0, Held), of(0, Held)},
		{"none, and some sleep", of(0, Held|Waiters), of(0, Held|Waiters)},
		{"none, a claimant is on its way", of(0, Held|self), of(0, Held|self)},
		{"a claimant is on its way", of(2, self), of(1, self)},
		{"the last, a claimant is on its way", of(1, self), of(0, Held|self)},
		{"reserved", of(1, Handoff|self), of(1, Handoff|self)},
		{"many, reserved", of(9, Handoff|self), of(9, Handoff|self)},
		{"reserved for one that asked", of(2, Waiters|Handoff|self), of(2, Waiters|Handoff|self)},
		{"a claimant in the parent", of(2, foreign), of(1, 0)},
		{"reserved for a claimant in the parent", of(1, Handoff|foreign), of(0, Held)},
		{"reserved for one that asked in the parent", of(2, Waiters|Handoff|foreign), of(1, 0)},
	} {
		m := remember(c.before)
		taken := m.cell().TryAcquire()
		if want := c.before != c.after; taken != want || m.state() != c.after {
			t.Errorf("%s: tryAcquire of %#x = %v and leaves %#x, want %v and %#x",
				c.name, c.before, taken, m.state(), want, c.after)
		}
		m = remember(c.before)
		if locked := m.cell().Locked(); locked == taken {
			t.Errorf("%s: locked(%#x) = %v", c.name, c.before, locked)
		}
	}
}

// The state after a waiter has taken a permit. A claimant provides for the others: it sets Waiters
// or, if permits are left, names the next claimant.
func TestClaimed(t *testing.T) {
	for _, c := range []struct {
		name       string
		threshold  time.Duration
		designated bool
		before     state
		after      state // but for the time
	}{
		{"the last", DefaultHandoff, true, of(1, self), of(0, Held|Waiters)},
		{"some left", DefaultHandoff, true, of(3, self), of(2, self)},
		{
			"the last, it asked",
			DefaultHandoff, true, of(1, Waiters|Handoff|self), of(0, Held|Waiters),
		},
		{"some left, it asked", DefaultHandoff, true, of(2, Waiters|Handoff|self), of(1, self)},
		{
			"the last, first come, first served",
			0, true, of(1, Handoff|self), of(0, Held|Waiters|Handoff),
		},
		{"some left, first come, first served", 0, true, of(3, Handoff|self), of(2, Handoff|self)},
		{"a newcomer, the last", DefaultHandoff, false, of(1, 0), of(0, Held)},
		{"a newcomer, some left", DefaultHandoff, false, of(3, self), of(2, self)},
		{"a newcomer after a fork", DefaultHandoff, false, of(3, Handoff|foreign), of(2, 0)},
	} {
		SetHandoff(c.threshold)
		var word uint32
		w := Waiter{word: &word, designated: c.designated, semaphore: true}
		if got := w.claimed(c.before) &^ state(dueMask); got != c.after {
			t.Errorf("%s: %#x becomes %#x, want %#x", c.name, c.before, got, c.after)
		}
	}
	SetHandoff(DefaultHandoff)
}

func newSemaphoreWaiter(m *memory, deadline int64) Waiter {
	w := NewWaiter(&m.word, deadline)
	w.semaphore = true
	return w
}

// If nobody sleeps, the name of the next claimant is taken back.
func TestClaimantWithNobodyBehind(t *testing.T) {
	m := remember(of(0, Held))
	w := newSemaphoreWaiter(m, Forever)
	step(t, &w, Entered, Park, Held|Waiters)
	*m = *remember(of(3, self))
	step(t, &w, Woken, Acquired, 0)
	if m.permits != 2 {
		t.Errorf("%d permits are left, want 2", m.permits)
	}
}

// One release of two permits wakes one waiter, which wakes the other.
func TestClaimantWakesTheNext(t *testing.T) {
	m := remember(of(0, Held))
	reasons := make(chan Reason)
	w := newSemaphoreWaiter(m, Forever)
	step(t, &w, Entered, Park, Held|Waiters)
	next := newSemaphoreWaiter(m, Forever)
	step(t, &next, Entered, Park, Held|Waiters)
	for range 2 {
		before := Asleep(&m.word)
		go func() { reasons <- park(&m.word, Held|Waiters, channelSleeper, Forever) }()
		waittest.Eventually(t, "a waiter sleeps", func() bool {
			return Asleep(&m.word) == before+1
		})
	}
	if !m.cell().Release(2, MaxPermits, true) {
		t.Fatal("it was not released")
	}
	if reason := <-reasons; reason != Woken {
		t.Fatalf("the first comes back with %d", reason)
	}
	if n := Asleep(&m.word); n != 1 {
		t.Fatalf("%d sleep on after a release, want 1", n)
	}
	step(t, &w, Woken, Acquired, self)
	if reason := <-reasons; reason != Woken {
		t.Fatalf("the second comes back with %d", reason)
	}
	step(t, &next, Woken, Acquired, Held|Waiters)
}

// A claimant that gives up while there are permits names another.
func TestResigningWithPermits(t *testing.T) {
	m := remember(of(0, Held))
	reasons := make(chan Reason)
	sleeper := newSemaphoreWaiter(m, Forever)
	step(t, &sleeper, Entered, Park, Held|Waiters)
	go func() { reasons <- park(&m.word, Held|Waiters, channelSleeper, Forever) }()
	waittest.Eventually(t, "the waiter sleeps", func() bool { return Asleep(&m.word) == 1 })

	*m = *remember(of(2, self))
	w := newSemaphoreWaiter(m, Forever)
	w.designated = true
	w.resign()
	if reason := <-reasons; reason != Woken || !hasClaimant(m.word) || m.permits != 2 {
		t.Fatalf("the sleeper comes back with %d, the state is %#x", reason, m.state())
	}
	step(t, &sleeper, Woken, Acquired, 0)
}
