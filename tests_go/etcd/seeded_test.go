package etcd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
			command := exec.Command("go", "test", "-overlay", overlay(t, patch), "-count=1",
				"-run", "^TestNoOverlapUnderFaults$", ".")
			command.Env = append(os.Environ(), "GOLOCK_FAULTS=30")
			output, err := command.CombinedOutput()
			text := string(output)
			if err == nil || !strings.Contains(text, "overlap: ") ||
				!strings.Contains(text, "porcupine: Illegal") {
				t.Errorf("not found: %v\n%s", err, text)
			}
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
