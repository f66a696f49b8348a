package core

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// watched is a word with the listeners that should be in its list, in order.
type watched struct {
	word      uint32
	listeners []*Listener
}

// check compares the word and the list, forwards and backwards, with the expected listeners.
func (w *watched) check() error {
	if want := uint32(len(w.listeners)); w.word != want {
		return fmt.Errorf("the word is %#x, want %#x", w.word, want)
	}
	l, s := listOf(&w.word)
	defer s.Unlock()
	if _, kept := s.of[&w.word]; kept != (len(w.listeners) > 0) {
		return fmt.Errorf("of %d listeners a list is kept: %v", len(w.listeners), kept)
	}
	var forwards, backwards []*Listener
	for each := l.first; each != nil && len(forwards) <= len(w.listeners); each = each.next {
		forwards = append(forwards, each)
	}
	for each := l.last; each != nil && len(backwards) <= len(w.listeners); each = each.prev {
		backwards = append(backwards, each)
	}
	slices.Reverse(backwards)
	if !slices.Equal(forwards, w.listeners) || !slices.Equal(backwards, w.listeners) {
		return fmt.Errorf("the list is %v forwards, %v backwards, want %v",
			forwards, backwards, w.listeners)
	}
	return nil
}

func (w *watched) listen() error {
	l := NewListener()
	Listen(&w.word, l)
	w.listeners = append(w.listeners, l)
	return nil
}

func (w *watched) notify(n, notification uint32) error {
	want := w.listeners[:min(int(n), len(w.listeners))]
	if notified := Notify(&w.word, n, notification); int(notified) != len(want) {
		return fmt.Errorf("Notify(%d) notified %d, want %d", n, notified, len(want))
	}
	for i, listener := range want {
		select {
		case <-listener.notified:
		default:
			return fmt.Errorf("Notify(%d) did not notify number %d", n, i)
		}
		if listener.notification != notification || listener.prev != nil || listener.next != nil {
			return fmt.Errorf("a listener is %+v after Notify(%d)", listener, n)
		}
		if got := Withdraw(&w.word, listener); got != notification {
			return fmt.Errorf("a listener with notification %d withdraws with %d", notification, got)
		}
	}
	w.listeners = w.listeners[len(want):]
	for i, listener := range w.listeners {
		if listener.notification != 0 {
			return fmt.Errorf("Notify(%d) notified number %d after the last", n, i)
		}
	}
	return nil
}

func (w *watched) withdraw(i int) error {
	if i < 0 || i >= len(w.listeners) {
		return nil
	}
	listener := w.listeners[i]
	got := Withdraw(&w.word, listener)
	if got != 0 || listener.prev != nil || listener.next != nil {
		return fmt.Errorf("a listener without one withdraws with %d and is %+v", got, listener)
	}
	w.listeners = slices.Delete(slices.Clone(w.listeners), i, i+1)
	return nil
}

// After each call in every sequence of five, the word and the list are right.
func TestEverySequenceOfListening(t *testing.T) {
	const length = 5
	actions := []struct {
		name string
		do   func(*watched) error
	}{
		{"listen", (*watched).listen},
		{"listen twice", func(w *watched) error {
			if err := w.listen(); err != nil {
				return err
			}
			return w.listen()
		}},
		{"notify none", func(w *watched) error { return w.notify(0, Notified) }},
		{"notify one", func(w *watched) error { return w.notify(1, Notified) }},
		{"notify two", func(w *watched) error { return w.notify(2, BarrierBroken) }},
		{"notify all", func(w *watched) error { return w.notify(Everyone, Notified) }},
		{"withdraw the first", func(w *watched) error { return w.withdraw(0) }},
		{"withdraw the second", func(w *watched) error { return w.withdraw(1) }},
		{"withdraw the last", func(w *watched) error { return w.withdraw(len(w.listeners) - 1) }},
	}
	sequences := 1
	for range length {
		sequences *= len(actions)
	}
	for number := range sequences {
		w := &watched{}
		names := ""
		for i, rest := 0, number; i < length; i, rest = i+1, rest/len(actions) {
			action := actions[rest%len(actions)]
			names += action.name + "; "
			err := action.do(w)
			if err == nil {
				err = w.check()
			}
			if err != nil {
				t.Fatalf("%s%v", names, err)
			}
		}
		if err := w.notify(Everyone, Notified); err != nil {
			t.Fatalf("%sall notified: %v", names, err)
		}
	}
}

// A notification reaches the listeners of its own word, not those of another in the same shard.
func TestNotifyIsForOneWord(t *testing.T) {
	var words [2 * 64 * 4]uint32 // a shard has 16 bytes in 1024
	ours, theirs := &words[0], &words[len(words)/2]
	mine, other := NewListener(), NewListener()
	Listen(ours, mine)
	Listen(theirs, other)
	notified := Notify(ours, Everyone, Notified)
	if notified != 1 || mine.notification != Notified || other.notification != 0 || *theirs != 1 {
		t.Errorf("notifications %d and %d, the other word is %#x",
			mine.notification, other.notification, *theirs)
	}
	Notify(theirs, Everyone, Notified)
}

// Each is notified as often as it listened.
func TestManyListenTogether(t *testing.T) {
	const goroutines, rounds = 8, 300
	var word uint32
	var group sync.WaitGroup
	for range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for range rounds {
				l := NewListener()
				Listen(&word, l)
				<-l.notified
				if Withdraw(&word, l) != Notified {
					t.Error("a goroutine was not notified")
				}
			}
		}()
	}
	count := uint32(0)
	for n := uint32(0); count < goroutines*rounds; n++ {
		count += Notify(&word, n%4, Notified)
		runtime.Gosched()
	}
	group.Wait()
	if count != goroutines*rounds || word != 0 {
		t.Errorf("notified %d times, want %d; the word is %#x", count, goroutines*rounds, word)
	}
}
