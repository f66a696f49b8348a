package etcd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The faults of clients come at random times, so that one run may not meet a fault of the lock.
const mostRuns = 5

// The test that checks histories finds the faults in the folder faults.
func TestSeededFaultsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	patches, err := filepath.Glob("faults/*.patch")
	if err != nil || len(patches) < 2 {
		t.Fatal("no patches: ", err)
	}
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			changed, output := overlay(t, patch), ""
			for range mostRuns {
				command := exec.Command("go", "test", "-overlay", changed, "-count=1",
					"-run", "^TestNoOverlapUnderFaults$", ".")
				command.Env = append(os.Environ(), "GOLOCK_FAULTS=30")
				text, err := command.CombinedOutput()
				output = string(text)
				if err != nil && strings.Contains(output, "overlap: ") &&
					strings.Contains(output, "porcupine: Illegal") {
					return
				}
			}
			t.Errorf("not found: %s", output)
		})
	}
}

// overlay returns a file that lets go build the lock with a patch.
func overlay(t *testing.T, patch string) string {
	text, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	source, err := filepath.Abs(filepath.Join("../../golock/etcd", filepath.Base(first)))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	patched := filepath.Join(folder, "patched.go")
	command := exec.Command("patch", "--fuzz=0", "--output="+patched, source)
	command.Stdin = strings.NewReader(string(text))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", patch, err, output)
	}
	replaced, _ := json.Marshal(map[string]any{"Replace": map[string]string{source: patched}})
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, replaced, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
