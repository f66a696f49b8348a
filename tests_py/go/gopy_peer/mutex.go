package peer

import "sync"

// A Mutex is a lock bound by gopy alone, for comparison.
type Mutex struct{ mutex sync.Mutex }

// NewMutex returns an unlocked Mutex.
func NewMutex() *Mutex { return &Mutex{} }

// Lock waits for the lock and takes it.
func (m *Mutex) Lock() { m.mutex.Lock() }

// Unlock releases the lock.
func (m *Mutex) Unlock() { m.mutex.Unlock() }
