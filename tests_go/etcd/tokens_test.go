package etcd_test

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/golock/golock/golock/etcd"
)

// GOLOCK_GRANTS sets how often the lock is taken, 1000000 in the long form.
func TestTokensRise(t *testing.T) {
	grants := 20000
	if n, err := strconv.Atoi(os.Getenv("GOLOCK_GRANTS")); err == nil {
		grants = n
	}
	endpoint := startServer(t)
	last, left, keys := int64(0), grants, map[int64]bool{}
	var all sync.WaitGroup
	for range 2 {
		lock := newSpace(t, etcd.Options{}, endpoint).Lock("x")
		for range 2 {
			all.Go(func() {
				for more := true; more; {
					hold := acquire(t, lock)
					if hold.Token() <= last {
						t.Errorf("token %d after %d", hold.Token(), last)
					}
					last = hold.Token()
					keys[hold.Revision()] = true
					left--
					more = left > 0
					release(t, hold)
				}
			})
		}
	}
	all.Wait()
	t.Logf("%d grants with %d keys", grants-left, len(keys))
}
