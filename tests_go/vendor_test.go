//go:build !race && !golock_portable

package tests_go

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A module that keeps copies of what it imports has the folders of the packages and nothing beside them.
func TestVendoredModuleBuilds(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	module := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module vendored\n\ngo 1.24.0\n\nrequire github.com/golock/golock v0.0.0\n\n" +
			"replace github.com/golock/golock => " + root + "\n",
		"go.sum": string(sums),
		"main.go": "package main\n\nimport \"github.com/golock/golock/golock/capi\"\n\n" +
			"func main() { println(capi.Core()) }\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{{"mod", "tidy"}, {"mod", "vendor"}, {"build", "-mod=vendor", "-o", "program"}} {
		command := exec.Command("go", arguments...)
		command.Dir = module
		command.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", arguments, err, output)
		}
	}
}
