package golock

import (
	"context"
	"sync"
	"testing"
	"time"
)

func TestSemaphoreCounts(t *testing.T) {
	s := NewSemaphore(3)
	var wg sync.WaitGroup
	var in, most int
	var mu sync.Mutex
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 2000 {
				if err := s.Acquire(context.Background()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				in++
				most = max(most, in)
				mu.Unlock()
				mu.Lock()
				in--
				mu.Unlock()
				s.Release(1)
			}
		}()
	}
	wg.Wait()
	if s.Permits() != 3 || most > 3 {
		t.Error(s.Permits(), most)
	}
}

func TestReleaseOfMany(t *testing.T) {
	s := NewSemaphore(0)
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() { defer wg.Done(); _ = s.Acquire(context.Background()) }()
	}
	time.Sleep(10 * time.Millisecond)
	s.Release(10)
	wg.Wait()
}
