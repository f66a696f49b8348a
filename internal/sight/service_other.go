//go:build !linux

package sight

import "errors"

// Serve does nothing on this system.
func Serve(Source, string) error { return errors.ErrUnsupported }
