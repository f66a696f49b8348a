//go:build !linux || golock_portable

package core

// Asleep returns the number of goroutines that sleep on the word.
func Asleep(word *uint32) int {
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
