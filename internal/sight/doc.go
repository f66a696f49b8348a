// Package sight is the core's part of golock.sight: the service that looks for deadlocks and
// answers clients, and the recording of goroutines.
package sight
