// Package core is the protocol of golock's words: a lock's and a semaphore's in word.go, an event's in event.go, that of
// notifications in listener.go. Package golock is the API on top of it for Go programs, package capi for C.
package core
