//go:build !linux

package etcd

func machine() string { return "" }

func startOf(int) (string, bool) { return "", false }

func waitForDeath(<-chan struct{}, Process) bool { return false }
