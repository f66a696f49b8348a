package etcd

import (
	"testing"
	"time"
)

// A lease ends here before it ends in etcd, also if this clock is slow and etcd's is fast.
func TestMarginIsForSlewedClocks(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 10 * time.Second, time.Hour} {
		here := (ttl - margin(ttl)) * 12 / 11
		there := ttl * 12 / 13
		if here >= there {
			t.Errorf("a TTL of %v ends after %v here, and after %v in etcd", ttl, here, there)
		}
	}
}
