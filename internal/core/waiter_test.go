package core

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golock/golock/internal/waittest"
)

const foreign = ClaimantMask // a claimant that lives in no process: process ids do not reach it

// step calls Next and checks its answer and the word afterwards, apart from the due time.
func step(t *testing.T, w *Waiter, reason Reason, want Action, word uint32) {
	t.Helper()
	if got := w.Next(reason); got != want {
		t.Fatalf("Next(%d) = %d, want %d; word %#x", reason, got, want, *w.word)
	}
	if *w.word&^dueMask != word {
		t.Fatalf("the word is %#x after Next(%d), want %#x", *w.word, reason, word)
	}
}

// promptly runs a check whose result depends on the time, again if it took too long, and reports
// what was wrong.
func promptly(t *testing.T, run func() (wrong []string)) {
	t.Helper()
	for {
		begun := now()
		wrong := run()
		if now()-begun < int64(2*time.Millisecond) {
			for _, what := range wrong {
				t.Error(what)
			}
			return
		}
	}
}

func TestReleaseTransitions(t *testing.T) {
	SetHandoff(4 * time.Millisecond)
	defer SetHandoff(DefaultHandoff)
	promptly(t, func() (wrong []string) {
		var other uint32
		early := claimantBits(&other)
		late := self | uint32(now()>>dueUnit-1)<<dueShift&dueMask
		for _, c := range []struct {
			name          string
			before, after uint32
			released      bool
		}{
			{"free", 0, 0, false},
			{"free with a claimant", self, self, false},
			{"reserved", Handoff | self, Handoff | self, false},
			{"held", Held, 0, true},
			{"nobody sleeps after all", Held | Waiters, 0, true},
			{"nobody sleeps, a hand-off was asked for", Held | Waiters | Handoff, 0, true},
			{"the claimant is on its way", Held | early, early, true},
			{"the claimant is due", Held | late, Handoff | late, true},
			{"somebody asked for a hand-off", Held | Handoff | self, Handoff | self, true},
			{"the claimant asked", Held | Waiters | Handoff | self, Waiters | Handoff | self, true},
			{"the claimant stayed in the parent", Held | foreign, 0, true},
			{"the claimant that asked stayed in the parent", Held | Handoff | foreign, 0, true},
		} {
			word := c.before
			released := Cell{word: &word}.Release(1, 1, true)
			if released != c.released || word != c.after {
				wrong = append(wrong, fmt.Sprintf(
					"%s: release of %#x = %v and leaves %#x, want %v and %#x",
					c.name, c.before, released, word, c.released, c.after))
			}
		}
		return wrong
	})
}

// Longer thresholds do not fit into the word, so they must not be mistaken for short ones.
func TestLongThresholdIsNeverDue(t *testing.T) {
	SetHandoff(time.Duration(dueLimit) + 1)
	defer SetHandoff(DefaultHandoff)
	for at := range uint32(1 << dueBits) {
		if due(Held | self | at<<dueShift) {
			t.Fatalf("a hand-off at %d is due", at)
		}
	}
}

func TestTryTransitions(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after uint32
	}{
		{"free", 0, Held},
		{"a claimant is on its way", self, self | Held},
		{"reserved", Handoff | self, Handoff | self},
		{"held", Held, Held},
		{"reserved for a claimant in the parent", Handoff | foreign, Held},
		{"a claimant in the parent", foreign, Held},
	} {
		word := c.before
		taken := (Cell{word: &word}).TryAcquire()
		if want := c.after&Held != 0 && c.before&Held == 0; taken != want || word != c.after {
			t.Errorf("%s: tryAcquire of %#x = %v and leaves %#x, want %v and %#x",
				c.name, c.before, taken, word, want, c.after)
		}
		if (Cell{word: &word}).Locked() != (c.after != 0) {
			t.Errorf("%s: locked(%#x) = %v", c.name, word, (Cell{word: &word}).Locked())
		}
	}
}

// A waiter whose sleep was refused sleeps again if it need not change the word; otherwise it leaves
// the word alone.
func TestStay(t *testing.T) {
	for _, c := range []struct {
		name string
		word uint32
		stay bool
	}{
		{"held, and the release will wake one", Held | Waiters, true},
		{"held, with a claimant", Held | self, true},
		{"free, with a claimant", self, true},
		{"reserved", Handoff | self, true},
		{"held, and nobody knows of the waiter", Held, false},
		{"held, with a claimant of another process", Held | foreign, false},
		{"free", 0, false},
		{"reserved in another process", Handoff | foreign, false},
	} {
		word := uint32(Held)
		w := NewWaiter(&word, Forever)
		step(t, &w, Entered, Park, Held|Waiters)
		word = c.word
		if stay := w.Stay(); stay != c.stay || word != c.word || stay && w.value != c.word {
			t.Errorf("%s: Stay = %v, word %#x, value %#x", c.name, stay, word, w.value)
		}
	}
}

// The claimant does not know who else sleeps, so its own release finds out.
func TestWokenWaiterLeavesWaiters(t *testing.T) {
	word := uint32(Held)
	w := NewWaiter(&word, Forever)
	step(t, &w, Entered, Park, Held|Waiters)
	word = self
	step(t, &w, Woken, Acquired, Held|Waiters)
}

func TestNewcomerRespectsAReservation(t *testing.T) {
	word := Handoff | self
	w := NewWaiter(&word, Forever)
	step(t, &w, Entered, Park, Handoff|self)
	claimant := NewWaiter(&word, Forever)
	step(t, &claimant, Woken, Acquired, Held|Waiters)
}

// A claimant that finds the lock taken by a newcomer requests the hand-off if it has waited long
// enough, and sleeps on the channel that the release wakes first.
func TestClaimantAsksForTheHandoff(t *testing.T) {
	word := uint32(Held)
	w := NewWaiter(&word, Forever)
	step(t, &w, Entered, Park, Held|Waiters)
	word = Held | self
	w.since = now() - int64(DefaultHandoff)
	step(t, &w, Woken, Park, Held|Waiters|Handoff|self)
	if w.channel != channelClaimant {
		t.Errorf("it sleeps on channel %d", w.channel)
	}

	young := NewWaiter(&word, Forever)
	word = Held | self
	step(t, &young, Woken, Park, Held|Waiters)
	if young.channel != channelReturner {
		t.Errorf("a young claimant sleeps on channel %d", young.channel)
	}
}

// Two claimants may be on their way. What is reserved for the one that has requested it is not the
// other's, whatever that one does.
func TestNobodyTakesWhatAnotherHasAskedFor(t *testing.T) {
	word := uint32(Held | Waiters)
	asker := NewWaiter(&word, Forever)
	asker.since = now() - int64(DefaultHandoff)
	step(t, &asker, Woken, Park, Held|Waiters|Handoff|self)

	other := NewWaiter(&word, Forever)
	other.since = asker.since
	step(t, &other, Woken, Park, Held|Waiters|Handoff|self)
	if other.channel != channelReturner || other.designated {
		t.Errorf("the other sleeps on channel %d, designated %v", other.channel, other.designated)
	}
	(Cell{word: &word}).Release(1, 1, true)
	step(t, &other, Woken, Park, Waiters|Handoff|self)
	other.designated = true
	other.resign()
	(Cell{word: &word}).appoint()
	if word != Waiters|Handoff|self {
		t.Fatalf("the word is %#x after another claimant resigned and a name was taken back", word)
	}
	step(t, &asker, Changed, Acquired, Held|Waiters)
}

// With a threshold of 0 nobody takes the lock before those that wait.
func TestFirstComeFirstServedAsksAtOnce(t *testing.T) {
	SetHandoff(0)
	defer SetHandoff(DefaultHandoff)
	word := uint32(Held)
	w := NewWaiter(&word, Forever)
	step(t, &w, Entered, Park, Held|Waiters|Handoff)
	word = Handoff | self
	step(t, &w, Woken, Acquired, Held|Waiters|Handoff)
}

// A woken waiter that leaves without the lock passes the wake-up on.
func TestWokenWaiterTimesOut(t *testing.T) {
	word := Held | self
	w := NewWaiter(&word, now()-1)
	step(t, &w, Woken, TimedOut, Held|Waiters)

	word = Held | self
	w = NewWaiter(&word, Forever)
	w.since = now() - int64(DefaultHandoff)
	step(t, &w, Woken, Park, Held|Waiters|Handoff|self)
	step(t, &w, Interrupted, Aborted, Held|Handoff|Waiters)
	if w.designated {
		t.Error("an interrupted waiter designated something")
	}
	step(t, &w, Entered, Park, Held|Handoff|Waiters)
	if w.channel != channelReturner {
		t.Errorf("an interrupted waiter sleeps on channel %d", w.channel)
	}
}

func TestResigningWakesAnother(t *testing.T) {
	word := self
	w := NewWaiter(&word, Forever)
	w.designated = true
	w.resign()
	if hasClaimant(word) {
		t.Fatal("a waiter is named though none sleeps")
	}

	word = Held
	events := make(chan Reason)
	sleeper := NewWaiter(&word, Forever)
	step(t, &sleeper, Entered, Park, Held|Waiters)
	go func() { events <- park(&word, Held|Waiters, channelSleeper, Forever) }()
	waittest.Eventually(t, "the waiter sleeps", func() bool { return Asleep(&word) == 1 })

	atomic.StoreUint32(&word, self)
	w.designated = true
	w.resign()
	if event := <-events; event != Woken || !hasClaimant(atomic.LoadUint32(&word)) {
		t.Errorf("the sleeper comes back with %d, the word is %#x", event, word)
	}
	step(t, &sleeper, Woken, Acquired, Held|Waiters)
}

// A waiter respects a reservation only within its patience: the claimant may have died.
func TestReservationIsOutlived(t *testing.T) {
	word := Handoff | self
	w := NewWaiter(&word, Forever)
	step(t, &w, Entered, Park, Handoff|self)
	if w.until > now()+goroutinePatience || w.until < now() {
		t.Fatalf("it sleeps until %d", w.until)
	}
	step(t, &w, Changed, Park, Handoff|self)
	w.until -= goroutinePatience
	step(t, &w, Expired, Acquired, Held|Waiters)
}

// leavesNothing returns a function that fails the test if a wait that begins after this call has
// left something behind.
func leavesNothing(t *testing.T, word *uint32) func() {
	before := Counted(word) // tests that drive a Waiter by hand leave some
	return func() {
		t.Helper()
		if n := Counted(word) - before; n != 0 {
			t.Errorf("%d waiters are still counted", n)
		}
		if n := LineLength(word); n != 0 {
			t.Errorf("a line of %d is left behind", n)
		}
	}
}
