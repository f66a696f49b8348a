package etcd_test

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// An event is what a worker has done or seen, with the times before and after.
type event struct {
	Worker int
	// acquire, look, release; failure; answer: an acquire that had no more time at Call; timer: a
	// timer of the worker for that moment; pause: the worker was stopped.
	Do           string
	Call, Return int64 // nanoseconds of CLOCK_BOOTTIME, the same for all processes of a machine
	Token        int64
	Why          string // of a failure
}

// A history is what all workers have seen so far.
type history struct {
	mu      sync.Mutex
	changed sync.Cond
	events  []event
	latest  map[int]int64 // for each worker, and for anybody, the Call of the last acquire
}

const (
	anybody     = -1
	longestWait = time.Minute
)

func newHistory() *history {
	h := &history{latest: map[int]int64{}}
	h.changed.L = &h.mu
	return h
}

func (h *history) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	if e.Do == "acquire" {
		for _, who := range []int{e.Worker, anybody} {
			h.latest[who] = max(h.latest[who], e.Call)
		}
		h.changed.Broadcast()
	}
}

// awaitHold waits until a worker has begun to acquire the lock after a moment, and has done so. It
// reports whether that happened in a minute.
func (h *history) awaitHold(who int, since int64) bool {
	ends := time.Now().Add(longestWait)
	timer := time.AfterFunc(longestWait, h.changed.Broadcast)
	defer timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.latest[who] <= since && time.Now().Before(ends) {
		h.changed.Wait()
	}
	return h.latest[who] > since
}

// The lock as one sequence of events. A worker that looks and finds the lock not lost, or releases
// it in time, is the last who acquired. One that has lost it does not know yet when another
// acquires; so an acquire needs only a higher token.
var model = porcupine.Model{
	Partition: partition,
	Init:      func() any { return [2]int64{} }, // the holder's token, and the last one
	Step: func(state, input, output any) (bool, any) {
		now, e := state.([2]int64), input.(event)
		switch e.Do {
		case "acquire":
			return e.Token > now[1], [2]int64{e.Token, e.Token}
		case "look":
			return e.Token == now[0], now
		default:
			return e.Token == now[0], [2]int64{0, now[1]}
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// partition cuts a history into parts of some hundred holds each, because the search takes longer
// than in proportion. The last hold of a part is also the first of the next.
func partition(history []porcupine.Operation) [][]porcupine.Operation {
	const holds = 300
	token := func(o porcupine.Operation) int64 { return o.Input.(event).Token }
	slices.SortStableFunc(history, func(a, b porcupine.Operation) int {
		return cmp.Compare(token(a), token(b))
	})
	var parts [][]porcupine.Operation
	for start := 0; start < len(history); {
		seen, last, end := 0, start, start
		for ; end < len(history) && seen <= holds; end++ {
			if end == start || token(history[end]) != token(history[end-1]) {
				if seen++; seen <= holds {
					last = end
				}
			}
		}
		if end < len(history) {
			end--
		}
		parts = append(parts, history[start:end:end])
		if end == len(history) {
			break
		}
		start = last
	}
	return parts
}

// check requires that no two workers have held the lock at once, that tokens rise, and that the
// events are those of one lock.
func (h *history) check(t *testing.T) {
	t.Helper()
	var operations []porcupine.Operation
	type interval struct {
		token, from, to int64
	}
	held := map[int64]*interval{}
	for i, e := range h.events {
		if e.Do != "acquire" && e.Do != "look" && e.Do != "release" {
			continue
		}
		operations = append(operations, porcupine.Operation{
			ClientId: i, Input: e, Call: e.Call, Return: e.Return,
		})
		switch e.Do {
		case "acquire":
			if held[e.Token] != nil {
				t.Errorf("token %d twice", e.Token)
			}
			held[e.Token] = &interval{e.Token, e.Return, e.Return}
		case "look":
			held[e.Token].to = max(held[e.Token].to, e.Call)
		}
	}
	var all []*interval
	for _, each := range held {
		all = append(all, each)
	}
	slices.SortFunc(all, func(a, b *interval) int { return int(a.token - b.token) })
	overlaps := 0
	for i := 1; i < len(all); i++ {
		if all[i].from < all[i-1].to {
			overlaps++
			t.Errorf("overlap: %v, %v", *all[i-1], *all[i])
		}
	}
	result := porcupine.CheckOperationsTimeout(model, operations, time.Minute)
	if result != porcupine.Ok {
		t.Errorf("porcupine: %v", result)
	}
	t.Logf("%d holds, %d overlaps, porcupine: %v", len(all), overlaps, result)
	for _, e := range h.all("failure") {
		t.Logf("worker %d: %s", e.Worker, e.Why)
	}
	t.Logf("late without the lock: %s; a timer: %s", h.lateness("answer"), h.lateness("timer"))
}

func (h *history) all(do string) (events []event) {
	for _, e := range h.events {
		if e.Do == do {
			events = append(events, e)
		}
	}
	return events
}

// lateness says how long after Call the worker went on, if it was not stopped.
func (h *history) lateness(do string) string {
	var late []time.Duration
	pauses := h.all("pause")
	for _, e := range h.all(do) {
		if !slices.ContainsFunc(pauses, func(p event) bool {
			return p.Worker == e.Worker && p.Call < e.Return && e.Call < p.Return
		}) {
			late = append(late, time.Duration(e.Return-e.Call))
		}
	}
	if len(late) == 0 {
		return "never"
	}
	slices.Sort(late)
	share := func(s float64) time.Duration { return late[int(s*float64(len(late)-1))] }
	return fmt.Sprintf("%v median, %v of 99 %%, %v at most of %d",
		share(0.5), share(0.99), share(1), len(late))
}
