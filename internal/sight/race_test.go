//go:build race

package sight

// The detector's checks of pointers let more variables escape.
const raceEnabled = true
