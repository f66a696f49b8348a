// Package requirements imports what gopy builds into one Python package with gopy_peer, and what
// the code that it generates imports, so that go.mod requires both.
package requirements

import (
	_ "github.com/go-python/gopy/gopyh"
	_ "github.com/golock/golock/examples/gopy_counter"
)
