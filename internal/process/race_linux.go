//go:build race

package process

import "sync/atomic"

// The race detector does not see the atomic operations on memory that processes share, so the
// acquires and releases of this process are ordered by a word that it sees.
type order struct{ word atomic.Uint32 }

func (o *order) afterAcquire()  { o.word.Load() }
func (o *order) beforeRelease() { o.word.Add(1) }
