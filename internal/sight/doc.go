// Package sight is the core's part of golock.sight: the recording of goroutines, and the service
// that looks for deadlocks and answers clients.
package sight
