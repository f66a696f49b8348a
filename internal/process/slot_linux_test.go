package process

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// A goroutine that finds the slot taken must not use the lock before moveIn has freed what the dead
// owner of the slot held: moveIn cannot tell that from what the goroutine holds.
func TestSlotIsNotUsedBeforeItIsTaken(t *testing.T) {
	p, err := open(fmt.Sprintf("slot test %d", os.Getpid()), KindLock)
	if err != nil {
		t.Fatal(err)
	}
	defer p.drop()
	defer os.Remove(p.path)
	if err := p.enter(); err != nil {
		t.Fatal(err)
	}

	mutex.Lock() // as while a goroutine is in moveIn
	entered := make(chan struct{})
	go func() {
		if err := p.enter(); err != nil {
			t.Error(err)
		}
		close(entered)
	}()
	select {
	case <-entered:
		t.Error("another goroutine goes on while one moves in")
	case <-time.After(100 * time.Millisecond):
	}
	mutex.Unlock()
	<-entered
}
