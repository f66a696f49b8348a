//go:build !race

package tests_go

const manyGoroutines = 10_000
