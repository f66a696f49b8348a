//go:build !linux

package etcd

import "time"

var start = time.Now().Round(0)

// now returns the time since some moment. The wall clock goes on while the machine is suspended,
// but may be set.
func now() time.Duration { return time.Now().Round(0).Sub(start) }
