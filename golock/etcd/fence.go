package etcd

import (
	"fmt"
	"sync"
)

// A StaleError is returned for a token that is lower than one admitted before.
type StaleError struct{ Token, Highest int64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("golock/etcd: token %d comes after token %d", e.Token, e.Highest)
}

// A Fence is the side of a store that writes with tokens. The store calls Admit and writes in one
// step that nothing else can come between. A store that outlives its process keeps the highest
// token where it keeps the data.
//
// The zero value has admitted none. A Fence must not be copied after first use.
type Fence struct {
	mu      sync.Mutex
	highest int64
}

// Admit returns a [StaleError] if a higher token was admitted before.
func (f *Fence) Admit(token int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if token < f.highest {
		return &StaleError{token, f.highest}
	}
	f.highest = token
	return nil
}
