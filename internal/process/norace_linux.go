//go:build !race

package process

type order struct{}

func (order) afterAcquire()  {}
func (order) beforeRelease() {}
