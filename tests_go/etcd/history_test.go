package etcd_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// An event is what a worker has done or seen, with the times before and after.
type event struct {
	Worker       int
	Do           string // acquire, look, release
	Call, Return int64  // nanoseconds of CLOCK_BOOTTIME, the same for all processes of a machine
	Token        int64
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

// checkHistory requires that no two workers have held the lock at once, that tokens rise, and that
// the events are those of one lock.
func checkHistory(t *testing.T, events []event) {
	t.Helper()
	var operations []porcupine.Operation
	type interval struct {
		token, from, to int64
	}
	held := map[int64]*interval{}
	clients := map[int]bool{}
	for i, e := range events {
		clients[e.Worker] = true
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
	t.Logf("%d holds of %d workers, %d overlaps, porcupine: %v", len(all), len(clients), overlaps,
		result)
}
