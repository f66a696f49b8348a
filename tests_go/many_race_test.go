//go:build race

package tests_go

// The race detector supports at most 8128 goroutines.
const manyGoroutines = 4_000
