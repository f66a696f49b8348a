// Package core implements the protocols of golock's words: word.go has that of locks and
// semaphores, event.go that of events, and listener.go that of notifications. Package golock is the
// API on top of it for Go programs, package capi for C.
package core
