//go:build linux

package process

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/golock/golock/internal/core"
)

// The channels on which waiters sleep, as in internal/core/word.go.
const (
	channelSleeper  = 1 << 0
	channelReturner = 1 << 1
	channelClaimant = 1 << 2
	channelCancel   = 1 << 3 // added by a waiter whose context can end
	channelAny      = 1<<32 - 1
)

// patience is how long a newcomer trusts a reservation.
const patience = int64(20 * time.Millisecond)

// longestTenure limits a tenure. A due time further away was left by somebody whose clock is
// another, in another time namespace.
const longestTenure = int64(8 * time.Millisecond)

const releasesPerCheck = 16

// A state is the content of a cell.
type state uint64

func (s state) holder() uint32         { return uint32(s) & holderMask >> HolderShift }
func (s state) deaths() uint32         { return uint32(s) >> DeathsShift }
func (s state) claimed() bool          { return s&Claimed != 0 }
func (s state) withoutHolder() state   { return s &^ holderMask }
func (s state) handoffRequested() bool { return s&flags == flags }
func (s state) reserved() bool {
	return s.holder() == 0 && s&(Claimed|Handoff) == Claimed|Handoff
}

const flags = Waiters | Claimed | Handoff

func (s state) withFlags(bits state) state { return s&^flags | bits }

func (m *memory) load() state { return state(atomic.LoadUint64(&m.cell)) }

func (m *memory) compareAndSwap(old, next state) bool {
	return atomic.CompareAndSwapUint64(&m.cell, uint64(old), uint64(next))
}

// setDue says when the hand-off to a claimant is due, before the claimant is named.
func (m *memory) setDue() {
	atomic.StoreInt64(&m.due, core.Now()+min(int64(core.HandoffAfter()), longestTenure))
}

func (m *memory) isDue() bool {
	left := atomic.LoadInt64(&m.due) - core.Now()
	return left <= 0 || left > longestTenure
}

// appoint wakes a sleeper, which becomes the claimant that the word already names. If nobody
// sleeps, it takes the name back. Newcomers that have gone to sleep since relied on the name, so it
// wakes one of them afterwards.
func (m *memory) appoint() {
	if m.wakeFirst() {
		return
	}
	for {
		old := m.load()
		if old.handoffRequested() {
			return
		}
		bits := state(0)
		if old.holder() != 0 {
			bits = old&Handoff | Waiters
		}
		if m.compareAndSwap(old, old.withFlags(bits)) {
			break
		}
	}
	m.wakeFirst()
}

func (m *memory) wakeFirst() bool {
	return m.wake(channelReturner|channelClaimant) || m.wake(channelAny)
}

// owes counts a call on which a wake may depend, 1 when it begins and -1 when it ends: if this
// process dies meanwhile, its debt is passed on. It has a slot, here and below.
func (p *page) owes(change int32) {
	atomic.AddUint32(&p.memory.slots[p.me.Load()-1].debts, uint32(change))
}

// swapAndAppoint names a claimant in a free lock, and wakes it. It reports false if the cell is not
// old.
func (p *page) swapAndAppoint(old, next state) bool {
	p.memory.setDue()
	p.owes(1)
	defer p.owes(-1)
	if !p.memory.compareAndSwap(old, next) {
		return false
	}
	p.memory.appoint()
	return true
}

// release releases the lock, whoever holds it. It reports false if the lock was free.
func (p *page) release() bool {
	m := p.memory
	check := rand.Uint32()%releasesPerCheck == 0
	for {
		old := m.load()
		next := old.withoutHolder()
		switch {
		case old.holder() == 0:
			return false
		case old.claimed() && (old&Handoff != 0 || check && p.memory.isDue()):
			p.owes(1)
			released := m.compareAndSwap(old, next|Handoff)
			if released {
				// If the claimant is awake, nobody sleeps on this channel, and it will come.
				m.wake(channelClaimant)
			}
			p.owes(-1)
			if released {
				return true
			}
		case old.claimed():
			if m.compareAndSwap(old, next.withFlags(Claimed)) {
				return true
			}
		case old&(Handoff|Waiters) != 0:
			if p.swapAndAppoint(old, next.withFlags(old&Handoff|Claimed)) {
				return true
			}
		default:
			if m.compareAndSwap(old, next) {
				return true
			}
		}
	}
}

// bury releases the lock of a dead holder, if the cell is still old.
func (p *page) bury(old state) bool {
	next := old.withoutHolder()
	if old.deaths() < mostDeaths {
		next += 1 << DeathsShift
	}
	return p.swapAndAppoint(old, next.withFlags(old&Handoff|Claimed))
}

// passOn does what a claimant, or whoever was to wake one, has left undone.
func (p *page) passOn() {
	m := p.memory
	for {
		old := m.load()
		if old.holder() != 0 {
			if m.compareAndSwap(old, old.withFlags(old&Handoff|Waiters)) {
				return
			}
			continue
		}
		if p.swapAndAppoint(old, old.withFlags(old&Handoff|Claimed)) {
			return
		}
	}
}

// recover forgets the deaths of holders, and returns how many there were.
func (m *memory) recover() int {
	for {
		old := m.load()
		if m.compareAndSwap(old, old&^deathsMask) {
			return int(old.deaths())
		}
	}
}

// A waiter is an acquire that waits. internal/core/waiter.go explains the algorithm.
type waiter struct {
	page       *page
	deadline   int64
	since      int64
	refuses    bool // does not take a lock whose holder died
	designated bool
	returns    bool
	value      uint32
	channel    uint32
	until      int64
}

type outcome int

const (
	acquired outcome = iota
	park
	timedOut
	aborted
	abandoned
)

// next decides what the waiter does next. Its process has a slot, and a debt.
func (w *waiter) next(reason core.Reason) outcome {
	m := w.page.memory
	switch reason {
	case core.Woken:
		w.designated, w.returns = true, true
	case core.Expired:
		w.returns = true
	case core.Interrupted:
		w.returns = true
		w.resign()
		return aborted
	}
	now := core.Now()
	outlived := reason == core.Expired && state(w.value).reserved() && now < w.deadline
	for ; ; now = core.Now() {
		old := m.load()
		if old.holder() == 0 && (w.mayClaim(old) || outlived || !old.reserved()) {
			// On a reservation it replaces the claimant that did not come.
			w.designated = w.designated || old.reserved()
			if w.refuses && old.deaths() != 0 {
				w.resign()
				return abandoned
			}
			if m.compareAndSwap(old, w.taken(old)) {
				w.designated = false
				w.page.order.afterAcquire()
				return acquired
			}
			continue
		}
		if now >= w.deadline {
			w.resign()
			return timedOut
		}
		next, channel := w.announced(old, now)
		if next == old || m.compareAndSwap(old, next) {
			w.value, w.channel = uint32(next), channel
			w.designated = w.channel == channelClaimant
			w.until = w.deadline
			if next.reserved() {
				w.until = min(w.deadline, now+patience)
			}
			return park
		}
	}
}

func (w *waiter) requested() bool { return w.designated && w.channel == channelClaimant }

func (w *waiter) mayClaim(old state) bool {
	return w.designated && (w.requested() || !old.handoffRequested())
}

// taken returns the state after the waiter has taken the lock.
func (w *waiter) taken(old state) state {
	bits := old & Claimed
	if w.designated {
		bits = Waiters
		if !core.Barging() {
			bits |= Handoff
		}
	}
	return old.withFlags(bits) | state(w.page.me.Load())<<HolderShift + acquire
}

// announced returns the state on whose word the waiter may sleep, and the channel.
func (w *waiter) announced(old state, now int64) (next state, channel uint32) {
	held := old.holder() != 0
	next, channel = old, channelSleeper
	if w.returns {
		channel = channelReturner
	}
	switch {
	case held && (w.requested() || w.designated && !old.handoffRequested() &&
		now-w.since >= int64(core.HandoffAfter())):
		next, channel = old|flags, channelClaimant
	case held && !old.handoffRequested() && (w.designated || !old.claimed()):
		next = old&^Claimed | Waiters
	}
	if !core.Barging() {
		next |= Handoff
	}
	return next, channel
}

// resign ends the wait without the lock and pays the debt of a claimant.
func (w *waiter) resign() {
	if !w.designated {
		return
	}
	requested := w.requested()
	w.designated = false
	if requested || !w.page.memory.load().handoffRequested() {
		w.page.passOn()
	}
}
