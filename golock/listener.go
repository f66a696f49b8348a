package golock

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Notifications.
//
// Whoever waits for a condition or a barrier does not want to take something: it listens, and waits to be
// told. Each of them has a word of 32 bits, which says how many listen, so that nobody is told where nobody
// does.
//
// The listeners themselves stand in a list in the core, in the order in which they came. Each has a word
// of its own, which it sleeps on, and which says what it was told. Telling takes it out of the list. So a
// notification goes to none that came after it, none is told twice, and one that gives up learns
// whether it was told in the same moment.
//
// The word and the list are changed together. A child made by fork has a core of its own, whose lists are
// empty: the number that was copied with the word is put right by the first change.

// A Listener is one wait for a notification.
type Listener struct {
	told       uint32        // what it was told, or 0
	turn       chan struct{} // of a goroutine: closed when it is told
	prev, next *Listener
}

// Told is what a listener is told when there is nothing else to say.
const Told = 1

// Everyone is the number of listeners to notify when all are meant.
const Everyone = 1<<31 - 1

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
	gone.prev, gone.next = nil, nil // C's memory keeps no pointer into Go's
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

// Listen puts the listener behind all others who listen to the word.
func Listen(word *uint32, listener *Listener) {
	l, s := listOf(word)
	defer s.Unlock()
	l.push(listener)
	l.write(s, word)
}

// Notify tells up to n listeners, those that came first, something other than 0, and returns how many it
// told.
func Notify(word *uint32, n, told uint32) uint32 {
	l, s := listOf(word)
	defer s.Unlock()
	before := l.length
	first := l.take(n)
	n = before - l.length
	l.write(s, word)
	tell(first, told)
	return n
}

// tell wakes the listeners that were taken out of a list together. Each may be gone, and its memory used
// for something else, as soon as it has been told.
func tell(first *Listener, told uint32) {
	for listener := first; listener != nil; {
		next, turn := listener.next, listener.turn
		listener.prev, listener.next = nil, nil
		atomic.StoreUint32(&listener.told, told)
		if turn != nil {
			close(turn)
		} else {
			wake(&listener.told, channelAny)
		}
		listener = next
	}
}

// Withdraw ends the wait of a listener that gives up. It returns what the listener was told, or 0.
func Withdraw(word *uint32, listener *Listener) uint32 {
	l, s := listOf(word)
	defer s.Unlock()
	if listener.told == 0 {
		l.remove(listener)
		l.write(s, word)
	}
	return listener.told
}

// await waits, for a goroutine that listens, until it is told something or the context ends.
func (l *Listener) await(ctx context.Context) {
	select {
	case <-l.turn:
	case <-ctx.Done():
	}
}

// newListener returns the listener of a goroutine, and what is to be called when it listens no more.
// Others in the list may be in C's memory and point to this one, where the collector does not see it.
func newListener() (*Listener, func()) {
	listener := &Listener{turn: make(chan struct{})}
	pinner := new(runtime.Pinner)
	pinner.Pin(listener)
	return listener, pinner.Unpin
}
