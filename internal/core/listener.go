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
// Whoever waits for a condition or a barrier does not want to take something: it listens, and waits to be
// told. Each condition and barrier has a word of 32 bits, which says how many goroutines listen, so that
// nobody is told where nobody does.
//
// The listeners themselves stand in a list, in the order in which they came. Telling takes a listener out of the
// list. So a notification goes to none that came after it, none is told twice, and one that gives up learns
// whether it was told in the same moment. The word and the list are changed together.
//
// Python's conditions and barriers do the same in C, with the list in the object and the GIL for its mutex: see
// pyext/native/waiting/notify.c.

// A Listener is one wait for a notification.
type Listener struct {
	notification uint32        // what it was told, or 0
	notified     chan struct{} // closed when it is told
	prev, next   *Listener
}

// What a listener is told: to go on, or that its barrier is broken.
const (
	Notified      = 1
	BarrierBroken = 2
)

// Everyone is the number of listeners to notify when all are meant.
const Everyone = math.MaxInt32

// A list of those who listen to one word, in the order in which they came.
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

// take removes up to n listeners, those that came first, and returns the first of them.
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

// The lists of the words whose addresses fall into the same shard.
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

// write brings the word in line with the list.
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

// Listen puts a listener behind all others who listen to the word.
func Listen(word *uint32, l *Listener) {
	list, shard := listOf(word)
	defer shard.Unlock()
	list.push(l)
	list.write(shard, word)
}

// Notify tells up to n listeners, those that came first, and returns how many it told.
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

// Withdraw ends the wait of a listener that gives up. It returns what the listener was told, or 0.
func Withdraw(word *uint32, l *Listener) uint32 {
	list, shard := listOf(word)
	defer shard.Unlock()
	if l.notification == 0 {
		list.remove(l)
		list.write(shard, word)
	}
	return l.notification
}

// Await waits until the listener is told something or the context ends.
func (l *Listener) Await(ctx context.Context) {
	select {
	case <-l.notified:
	case <-ctx.Done():
	}
}

// NewListener returns one that listens nowhere yet.
func NewListener() *Listener { return &Listener{notified: make(chan struct{})} }

// Notification returns what the listener was told, or 0.
func (l *Listener) Notification() uint32 { return atomic.LoadUint32(&l.notification) }
