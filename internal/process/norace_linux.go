//go:build !race

package process

func (p *page) afterAcquire()  {}
func (p *page) beforeRelease() {}
