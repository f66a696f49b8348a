// Package counter counts words with a pool of goroutines. Python threads read and write its table
// as well. Both take the same lock of Python's golock.
package counter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	// The code that gopy generates imports gopyh. Without this import each build would edit go.mod.
	_ "github.com/go-python/gopy/gopyh"

	"github.com/golock/golock/golock"
	"github.com/golock/golock/golock/capi"
)

// A Table holds how often each word was counted. The caller of Get, Set and Len must hold the lock.
// The caller of Count and Close must not: they wait for goroutines that take it.
type Table struct {
	lock   *golock.Lock
	counts map[string]int

	texts   chan string
	workers sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
	left    atomic.Int64 // texts given up
}

// NewTable makes an empty table and starts its workers, at least one. The address is that of a
// golock.Lock, which must stay alive until Close has returned; any other address is an error.
func NewTable(address uintptr, workers int) (*Table, error) {
	lock, err := golock.At(address)
	if err != nil {
		return nil, err
	}
	if workers < 1 {
		return nil, fmt.Errorf("%d workers: there must be one at least", workers)
	}
	t := &Table{lock: lock, counts: map[string]int{}, texts: make(chan string, workers)}
	t.ctx, t.stop = context.WithCancel(context.Background())
	for range workers {
		t.workers.Add(1)
		go t.work()
	}
	return t, nil
}

// work counts the words of a text by itself, and takes the lock once to add them.
func (t *Table) work() {
	defer t.workers.Done()
	for text := range t.texts {
		counts := map[string]int{}
		for _, word := range strings.Fields(text) {
			counts[word]++
		}
		if t.lock.LockContext(t.ctx) != nil {
			t.left.Add(1)
			continue
		}
		for word, n := range counts {
			t.counts[word] += n
		}
		t.lock.Unlock()
	}
}

// Count gives a text to the workers. It waits while all of them are busy.
func (t *Table) Count(text string) { t.texts <- text }

// Get returns how often the word was counted.
func (t *Table) Get(word string) int { return t.counts[word] }

// Set sets how often the word was counted; 0 removes the word.
func (t *Table) Set(word string, n int) {
	if n == 0 {
		delete(t.counts, word)
	} else {
		t.counts[word] = n
	}
}

// Len returns the number of words.
func (t *Table) Len() int { return len(t.counts) }

// Close waits until all texts are counted, and ends the workers. It returns an error if some texts
// were not counted within the given number of seconds because another kept the lock. Neither Count
// nor Close may be called afterwards.
func (t *Table) Close(seconds float64) error {
	close(t.texts)
	defer time.AfterFunc(time.Duration(seconds*float64(time.Second)), t.stop).Stop()
	t.workers.Wait()
	if left := t.left.Load(); left > 0 {
		return fmt.Errorf("%d texts were not counted within %v s", left, seconds)
	}
	return nil
}

// Core returns the address for golock.use_core. Python threads then use this library's Go runtime
// to wait, and the process needs no other.
func Core() uintptr { return capi.Core() }
