package tests_go

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golock/golock/golock"
)

// BenchmarkCancelled measures the time from the end of a context to the return of LockContext,
// while the lock is held and others wait for it. Without others, the cancelled goroutine sleeps in
// the kernel.
func BenchmarkCancelled(b *testing.B) {
	for _, others := range []int{0, 1, 100, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			var lock golock.Lock
			lock.Lock()
			ended, end := context.WithCancel(context.Background())
			left := make(chan error, others)
			for range others {
				go func() { left <- lock.LockContext(ended) }()
			}
			time.Sleep(time.Duration(1+others/1000) * 10 * time.Millisecond) // until they wait
			var took []time.Duration
			for b.Loop() {
				ctx, cancel := context.WithCancel(context.Background())
				returned := make(chan time.Time)
				go func() {
					if lock.LockContext(ctx) == nil {
						b.Error("it has taken a lock that is held")
					}
					returned <- time.Now()
				}()
				time.Sleep(200 * time.Microsecond) // until it waits
				begun := time.Now()
				cancel()
				took = append(took, (<-returned).Sub(begun))
			}
			slices.Sort(took)
			for name, of := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
				at := took[min(int(of*float64(len(took))), len(took)-1)]
				b.ReportMetric(float64(at.Nanoseconds())/1000, name+"-µs")
			}
			end()
			for range others {
				<-left
			}
		})
	}
}
