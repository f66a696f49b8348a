//go:build !linux || golock_portable

package core

// Readable always reports true: there is no portable check.
func Readable(_, _ uintptr) bool { return true }
