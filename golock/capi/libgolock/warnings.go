//go:build golock_warnings

package main

// Warnings are errors for golock's developers alone: make lint.
// #cgo CFLAGS: -Wall -Wextra -Werror
import "C"
