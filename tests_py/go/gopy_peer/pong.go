package peer

import "github.com/golock/golock/golock"

// Pong starts a goroutine that, in each round, takes the lock at the first address and then
// releases the lock at the second.
func Pong(ping, pong uintptr, rounds int) error {
	first, err := golock.At(ping)
	if err != nil {
		return err
	}
	second, err := golock.At(pong)
	if err != nil {
		return err
	}
	go func() {
		for range rounds {
			first.Lock()
			second.Unlock()
		}
	}()
	return nil
}
