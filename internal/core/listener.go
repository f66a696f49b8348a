package core

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Notifications.
//
// Whoever waits for a condition or a barrier takes nothing: it listens, and waits for a
// notification. Each condition and barrier has a word of 32 bits with the number of its listeners,
// so that a notification for nobody costs one load.
//
// The listeners are in a list, in the order of their arrival. A notification removes a listener
// from the list. So it never reaches a listener that came later, no listener gets two, and one that
// gives up learns whether it was notified at the same moment. The word and the list change
// together.
//
// Python's conditions and barriers do the same in C, with the list in the object and the GIL as its
// mutex: see pyext/native/waiting/notify.c.

// A Listener is one wait for a notification.
type Listener struct {
	notification uint32        // or 0: none yet
	notified     chan struct{} // closed when it gets one
	prev, next   *Listener
}

// The notifications: go on, or the barrier is broken.
const (
	Notified      = 1
	BarrierBroken = 2
)

// Everyone, as the number of listeners to notify, means all.
const Everyone = math.MaxInt32

// A list of the listeners of one word, in the order of their arrival.
type list struct {
	first, last *Listener
	length      uint32
}

func (l *list) push(new *Listener) {
	new.prev, new.next = l.last, nil
	if l.last == nil {
		l.first = new
	} else {
		l.last.next = new
	}
	l.last = new
	l.length++
}

func (l *list) remove(gone *Listener) {
	if gone.prev == nil {
		l.first = gone.next
	} else {
		gone.prev.next = gone.next
	}
	if gone.next == nil {
		l.last = gone.prev
	} else {
		gone.next.prev = gone.prev
	}
	gone.prev, gone.next = nil, nil
	l.length--
}

// take removes the first n listeners, or all if there are fewer, and returns the first of them.
func (l *list) take(n uint32) *Listener {
	taken, rest := l.first, l.first
	for ; n > 0 && rest != nil; n-- {
		if rest == l.last {
			l.last = nil
		}
		rest = rest.next
		l.length--
	}
	if rest == taken {
		return nil
	}
	l.first = rest
	if rest != nil {
		rest.prev.next = nil
		rest.prev = nil
	}
	return taken
}

// The lists of the words whose addresses map to the same shard.
type shard struct {
	sync.Mutex
	of map[*uint32]*list
}

var shards [64]shard

// listOf returns the list of the word and its shard, locked.
func listOf(word *uint32) (*list, *shard) {
	s := &shards[uintptr(unsafe.Pointer(word))>>4%uintptr(len(shards))]
	s.Lock()
	l := s.of[word]
	if l == nil {
		l = &list{}
	}
	return l, s
}

// write updates the word, and the shard, from the list.
func (l *list) write(s *shard, word *uint32) {
	atomic.StoreUint32(word, l.length)
	switch {
	case l.length == 0:
		delete(s.of, word)
	case s.of == nil:
		s.of = make(map[*uint32]*list)
		fallthrough
	default:
		s.of[word] = l
	}
}

// Listen appends a listener to those of the word.
func Listen(word *uint32, l *Listener) {
	list, shard := listOf(word)
	defer shard.Unlock()
	list.push(l)
	list.write(shard, word)
}

// Notify notifies the first n listeners, or all if there are fewer, and returns how many.
func Notify(word *uint32, n, notification uint32) uint32 {
	list, shard := listOf(word)
	defer shard.Unlock()
	before := list.length
	first := list.take(n)
	list.write(shard, word)
	for l := first; l != nil; {
		next := l.next
		l.prev, l.next = nil, nil
		atomic.StoreUint32(&l.notification, notification)
		close(l.notified)
		l = next
	}
	return before - list.length
}

// Withdraw ends the wait of a listener that gives up. It returns the notification that the listener
// got, or 0.
func Withdraw(word *uint32, l *Listener) uint32 {
	list, shard := listOf(word)
	defer shard.Unlock()
	if l.notification == 0 {
		list.remove(l)
		list.write(shard, word)
	}
	return l.notification
}

// Await waits until the listener is notified or the context ends.
func (l *Listener) Await(ctx context.Context) {
	select {
	case <-l.notified:
	case <-ctx.Done():
	}
}

// NewListener returns a listener in no list.
func NewListener() *Listener { return &Listener{notified: make(chan struct{})} }

// Notification returns the notification that the listener got, or 0.
func (l *Listener) Notification() uint32 { return atomic.LoadUint32(&l.notification) }
