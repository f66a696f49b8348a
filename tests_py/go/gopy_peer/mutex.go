package peer

import "sync"

// A Mutex is a lock as gopy binds one by itself, for comparison.
type Mutex struct{ mutex sync.Mutex }

// NewMutex returns a free one.
func NewMutex() *Mutex { return &Mutex{} }

// Lock waits for the lock.
func (m *Mutex) Lock() { m.mutex.Lock() }

// Unlock releases the lock.
func (m *Mutex) Unlock() { m.mutex.Unlock() }
