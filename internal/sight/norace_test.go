//go:build !race

package sight

const raceEnabled = false
