//go:build golock_warnings

// Warnings are errors for golock's developers alone, in make lint.

package capi

// #cgo CFLAGS: -Wall -Wextra -Werror
import "C"
