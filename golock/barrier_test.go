package golock

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/golock/golock/internal/core"
	"github.com/golock/golock/internal/waittest"
)

// outcome is how a call of Wait ended.
type outcome struct {
	index    int
	err      error
	panicked any
}

// arrive waits at the barrier in a new goroutine, and returns a channel that receives the outcome.
func arrive(b *Barrier, ctx context.Context) <-chan outcome {
	result := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panicked = recover()
			result <- o
		}()
		o.index, o.err = b.Wait(ctx)
	}()
	return result
}

// arriveFirst does what arrive does, and returns when the goroutine waits.
func arriveFirst(t *testing.T, b *Barrier, ctx context.Context) <-chan outcome {
	t.Helper()
	before := b.Waiting()
	result := arrive(b, ctx)
	waittest.Eventually(t, "it waits", func() bool { return b.Waiting() == before+1 })
	return result
}

func end(t *testing.T, result <-chan outcome) outcome {
	t.Helper()
	closed, got := make(chan struct{}), outcome{}
	go func() { got = <-result; close(closed) }()
	waittest.Within(t, "it goes on", closed)
	return got
}

// restored checks that the barrier, for two parties, works as a new one does.
func restored(t *testing.T, b *Barrier) {
	t.Helper()
	if b.Broken() || b.Waiting() != 0 {
		t.Fatalf("the barrier is broken: %v, %d wait", b.Broken(), b.Waiting())
	}
	first := arriveFirst(t, b, context.Background())
	second := arrive(b, context.Background())
	if one, two := end(t, first), end(t, second); one != (outcome{}) || two != (outcome{index: 1}) {
		t.Fatalf("a round ends with %v and %v", one, two)
	}
}

func TestBarrierArguments(t *testing.T) {
	for _, parties := range []int{0, -1, -1 << 31} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewBarrier(%d) did not panic", parties)
				}
			}()
			NewBarrier(parties, nil)
		}()
	}
	if o := end(t, arrive(new(Barrier), context.Background())); o.panicked == nil {
		t.Errorf("Wait at a barrier for nobody: %v", o)
	}
	b := NewBarrier(core.Everyone, nil)
	if b.Parties() != core.Everyone || b.Waiting() != 0 || b.Broken() {
		t.Errorf("%d parties, %d wait, broken: %v", b.Parties(), b.Waiting(), b.Broken())
	}
}

func TestBarrierForOne(t *testing.T) {
	calls := 0
	b := NewBarrier(1, func() { calls++ })
	for round := range 3 {
		index, err := b.Wait(context.Background())
		if index != 0 || err != nil || calls != round+1 {
			t.Errorf("Wait = %d, %v, after %d calls", index, err, calls)
		}
	}
}

// With more goroutines than parties, each round calls the action once and returns each index once.
func TestBarrierRounds(t *testing.T) {
	const parties, goroutines, rounds = 3, 7, 1000
	trips := 0 // guarded by the barrier
	var last atomic.Bool
	b := NewBarrier(parties, func() {
		if trips++; trips == rounds {
			last.Store(true)
		}
	})
	var indexes [parties]atomic.Int32
	ended := waittest.InBackground(goroutines, func(int) {
		for {
			index, err := b.Wait(context.Background())
			if err != nil {
				if !errors.Is(err, ErrBrokenBarrier) || !last.Load() {
					t.Error(err)
				}
				return
			}
			indexes[index].Add(1)
			if last.Load() {
				b.Abort()
			}
		}
	})
	waittest.Within(t, "all rounds are over", ended)
	for index := range indexes {
		if n := int(indexes[index].Load()); n != trips {
			t.Errorf("index %d was given %d times in %d rounds", index, n, trips)
		}
	}
	if b.word != 0 || b.lock.Locked() || trips < rounds {
		t.Errorf("after %d rounds the word is %#x, locked: %v", trips, b.word, b.lock.Locked())
	}
}

// What each party wrote before it arrived is visible to all afterwards.
func TestBarrierOrdersMemory(t *testing.T) {
	const parties, rounds = 4, 200
	var written [parties]int
	b := NewBarrier(parties, nil)
	waittest.Concurrently(parties, func(i int) {
		for round := range rounds {
			written[i] = round
			_, _ = b.Wait(context.Background())
			for j, value := range written {
				if value != round {
					t.Errorf("%d sees %d of %d in round %d", i, value, j, round)
				}
			}
			_, _ = b.Wait(context.Background())
		}
	})
}

// An action that does not return breaks the barrier.
func TestBarrierActionFails(t *testing.T) {
	const message = "the action fails"
	for name, fail := range map[string]func(){
		"panics":             func() { panic(message) },
		"ends its goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			action := fail
			b := NewBarrier(2, func() { action() })
			first := arriveFirst(t, b, context.Background())
			second := end(t, arrive(b, context.Background()))
			if name == "panics" && second.panicked != message {
				t.Errorf("the last one's outcome is %v", second)
			}
			if o := end(t, first); !errors.Is(o.err, ErrBrokenBarrier) || !b.Broken() {
				t.Errorf("the other's outcome is %v, broken: %v", o, b.Broken())
			}
			action = func() {}
			b.Reset()
			restored(t, b)
		})
	}
}

func TestBarrierAbort(t *testing.T) {
	b := NewBarrier(3, nil)
	waiting := []<-chan outcome{
		arriveFirst(t, b, context.Background()),
		arriveFirst(t, b, context.Background()),
	}
	b.Abort()
	for _, result := range append(waiting, arrive(b, context.Background())) {
		if o := end(t, result); !errors.Is(o.err, ErrBrokenBarrier) {
			t.Errorf("after an abort: %v", o)
		}
	}
	if b.Abort(); !b.Broken() || b.Waiting() != 0 {
		t.Errorf("broken: %v, %d wait", b.Broken(), b.Waiting())
	}
}

func TestBarrierReset(t *testing.T) {
	b := NewBarrier(2, nil)
	first := arriveFirst(t, b, context.Background())
	b.Reset()
	if o := end(t, first); !errors.Is(o.err, ErrBrokenBarrier) {
		t.Errorf("after a reset: %v", o)
	}
	restored(t, b)
	b.Abort()
	b.Reset()
	restored(t, b)
}

func TestBarrierContexts(t *testing.T) {
	ended, cancelled := context.WithCancel(context.Background())
	cancelled()

	b := NewBarrier(1, func() { t.Error("it was called") })
	if o := end(t, arrive(b, ended)); !errors.Is(o.err, context.Canceled) || !b.Broken() {
		t.Errorf("with an ended context: %v, broken: %v", o, b.Broken())
	}

	b = NewBarrier(3, nil)
	ctx, cancel := context.WithCancel(context.Background())
	first := arriveFirst(t, b, context.Background())
	second := arriveFirst(t, b, ctx)
	cancel()
	if o := end(t, second); !errors.Is(o.err, context.Canceled) {
		t.Errorf("the one whose context ended: %v", o)
	}
	if o := end(t, first); !errors.Is(o.err, ErrBrokenBarrier) || !b.Broken() || b.Waiting() != 0 {
		t.Errorf("the other: %v, broken: %v, %d wait", o, b.Broken(), b.Waiting())
	}
}

// The round was over before the context ended, so no Wait returns the context's error.
func TestBarrierTripsBeforeTheContextEnds(t *testing.T) {
	const parties, rounds = 6, 200
	b := NewBarrier(parties, nil)
	for range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		ended := waittest.InBackground(parties-1, func(int) {
			if _, err := b.Wait(ctx); err != nil {
				t.Error(err)
			}
		})
		waittest.Eventually(t, "all wait", func() bool { return b.Waiting() == parties-1 })
		if _, err := b.Wait(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		waittest.Within(t, "all go on", ended)
	}
}

// While the action runs, the parties of its round cannot give up. One of the next round can, and
// breaks it.
func TestContextEndsWhileTheActionRuns(t *testing.T) {
	running, goOn := make(chan struct{}), make(chan struct{})
	var b *Barrier
	b = NewBarrier(2, func() {
		if b.Broken() || b.Waiting() != 1 {
			t.Errorf("in the action, broken: %v, %d wait", b.Broken(), b.Waiting())
		}
		close(running)
		<-goOn
	})
	ctx, cancel := context.WithCancel(context.Background())
	first := arriveFirst(t, b, ctx)
	second := arrive(b, context.Background())
	waittest.Within(t, "the action runs", running)
	third := arrive(b, ctx)
	inLine := func(n int) func() bool {
		return func() bool { return core.LineLength(&b.lock.word) == n }
	}
	waittest.Eventually(t, "the third waits for the action", inLine(1))
	cancel()
	waittest.Eventually(t, "both want the lock to give up", inLine(2))
	if len(first) != 0 || len(third) != 0 {
		t.Error("one has given up while the action runs")
	}
	close(goOn)
	if one, two := end(t, first), end(t, second); one != (outcome{}) || two != (outcome{index: 1}) {
		t.Errorf("those of the round: %v and %v", one, two)
	}
	if o := end(t, third); !errors.Is(o.err, context.Canceled) || !b.Broken() {
		t.Errorf("the third: %v, broken: %v", o, b.Broken())
	}
}

// Goroutines arrive, give up, abort and reset all the time. Each round releases as many as there
// are parties.
func TestBarrierUnderStress(t *testing.T) {
	const parties, goroutines, rounds = 3, 9, 600
	var trips atomic.Int32
	b := NewBarrier(parties, func() { trips.Add(1) })
	var passed, broken, gaveUp atomic.Int32
	var over atomic.Bool // some have gone, and those that are left may be too few
	ended := waittest.InBackground(goroutines, func(i int) {
		for round := range rounds {
			ctx, cancel := context.WithCancel(context.Background())
			if (i+round)%5 == 0 {
				go cancel()
			}
			switch _, err := b.Wait(ctx); {
			case err == nil:
				passed.Add(1)
			case errors.Is(err, ErrBrokenBarrier):
				broken.Add(1)
			case errors.Is(err, context.Canceled):
				gaveUp.Add(1)
			default:
				t.Error(err)
			}
			cancel()
			if b.Broken() || round%50 == 0 {
				b.Reset()
			}
			if over.Load() {
				break
			}
		}
		over.Store(true)
		b.Abort()
	})
	waittest.Within(t, "all is over", ended)
	if passed.Load() != parties*trips.Load() || passed.Load() == 0 {
		t.Errorf("%d were let go by %d rounds of %d", passed.Load(), trips.Load(), parties)
	}
	if b.word != 0 || b.lock.Locked() {
		t.Errorf("the word is %#x, locked: %v", b.word, b.lock.Locked())
	}
	t.Logf("%d passed, %d found it broken, %d gave up", passed.Load(), broken.Load(), gaveUp.Load())
}
