//go:build !linux || golock_portable

package golock

// sleepers counts the goroutines that sleep on the word.
func sleepers(word *uint32) int {
	b := bucketOf(word)
	b.Lock()
	defer b.Unlock()
	count := 0
	for s := b.first; s != nil; s = s.next {
		if s.word == word {
			count++
		}
	}
	return count
}
