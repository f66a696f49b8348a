//go:build !linux || golock_portable

package core

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// self names a claimant of this process. No kernel shares the word, so one name suffices.
const self = uint32(1) << ClaimantShift

// A bucket holds the waiters on the addresses that map to it, in the order of their arrival. It
// replaces the kernel's futex queues, with the same guarantees.
type bucket struct {
	sync.Mutex
	first, last *sleeper
}

type sleeper struct {
	word       *uint32
	channels   uint32
	woken      chan struct{}
	prev, next *sleeper
}

var buckets [256]bucket

func bucketOf(word *uint32) *bucket {
	return &buckets[uintptr(unsafe.Pointer(word))>>2%uintptr(len(buckets))]
}

func (b *bucket) push(s *sleeper) {
	s.prev = b.last
	if b.last == nil {
		b.first = s
	} else {
		b.last.next = s
	}
	b.last = s
}

func (b *bucket) remove(s *sleeper) {
	if s.prev == nil {
		b.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		b.last = s.prev
	} else {
		s.next.prev = s.prev
	}
}

// park sleeps while *word is value, until it is woken on one of the channels or until the deadline.
func park(word *uint32, value, channels uint32, until int64) Reason {
	b := bucketOf(word)
	b.Lock()
	if atomic.LoadUint32(word) != value {
		b.Unlock()
		return Changed
	}
	s := &sleeper{word: word, channels: channels, woken: make(chan struct{})}
	b.push(s)
	b.Unlock()

	var expired <-chan time.Time
	if until != Forever {
		timer := time.NewTimer(time.Duration(until - now()))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-s.woken:
		return Woken
	case <-expired:
	}
	b.Lock()
	defer b.Unlock()
	select {
	case <-s.woken:
		return Woken
	default:
		b.remove(s)
		return Expired
	}
}

// wake wakes the waiter that has slept longest on one of the channels, and reports whether there
// was one.
func wake(word *uint32, channels uint32) bool {
	b := bucketOf(word)
	b.Lock()
	defer b.Unlock()
	for s := b.first; s != nil; s = s.next {
		if s.word == word && s.channels&channels != 0 {
			b.remove(s)
			close(s.woken)
			return true
		}
	}
	return false
}

// wakeAll wakes all that sleep on the word.
func wakeAll(word *uint32) {
	for wake(word, channelAny) {
	}
}

func monotonicBase() int64 { return 0 }
