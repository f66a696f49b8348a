//go:build !race

package core

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A producer stores, and sets an event that is already set. A consumer clears it, and loads. One of
// them must see the other: the consumer the stored value, or the next look at the event that it is
// set again. The store and the load are plain, like those of a C or Python program, which the race
// detector reports.
func TestEventSetAgainIsSeenByWhoClears(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs two processors")
	}
	var shared struct {
		stored uint32
		_      [60]byte
		event  Event
		_      [60]byte
		ready  [2]atomic.Uint32
		_      [56]byte
		done   atomic.Uint32
	}
	meet := func(me int, round uint32) {
		shared.ready[me].Store(round)
		for spins := 0; shared.ready[1-me].Load() < round; spins++ {
			if spins > 1000 {
				runtime.Gosched()
			}
		}
	}
	const last = 1_000_000
	end := time.Now().Add(2 * time.Second)
	go func() {
		for round := uint32(1); round <= last; round++ {
			meet(0, round)
			shared.stored = round
			shared.event.Set()
			shared.done.Store(round)
		}
	}()
	shared.event.Set()
	lost := 0
	for round := uint32(1); round <= last; round++ {
		meet(1, round)
		shared.event.Clear()
		seen := shared.stored == round
		for shared.done.Load() < round {
			runtime.Gosched()
		}
		if !seen && !shared.event.IsSet() {
			lost++
		}
		shared.event.Set()
		if round%1024 == 0 && time.Now().After(end) {
			meet(1, last) // lets the producer run to its end
			break
		}
	}
	if lost > 0 {
		t.Errorf("lost %d wake-ups", lost)
	}
}
