//go:build race

package tests_go

// The race detector cannot bear more than 8128 goroutines.
const manyGoroutines = 4_000
