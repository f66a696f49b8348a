//go:build race

package process

// The race detector does not see the atomic operations on memory that processes share, so the
// acquires and releases of this process are ordered by a word that it sees.

func (p *page) afterAcquire()  { p.order.Load() }
func (p *page) beforeRelease() { p.order.Add(1) }
