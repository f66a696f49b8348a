//go:build !race && !golock_portable

package tests_go

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// userModule makes a module that imports golock from this copy of it, and returns what runs the go
// command there.
func userModule(t *testing.T) func(arguments ...string) string {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	module := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module user\n\ngo 1.24.0\n\nreplace github.com/golock/golock => " + root + "\n",
		"main.go": "package main\n\nimport \"github.com/golock/golock/golock/capi\"\n\n" +
			"func main() { println(capi.Core()) }\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(arguments ...string) string {
		t.Helper()
		command := exec.Command("go", arguments...)
		command.Dir = module
		command.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("go %v: %v\n%s", arguments, err, output)
		}
		return string(output)
	}
	run("mod", "tidy")
	return run
}

// A vendored copy has the files of the packages' own folders and nothing else.
func TestVendoredModuleBuilds(t *testing.T) {
	run := userModule(t)
	run("mod", "vendor")
	run("build", "-mod=vendor", "-o", "program")
}

// Users of golock do not get what only its examples and the tests of the Python package require.
func TestUsersDoNotRequireGopy(t *testing.T) {
	graph := userModule(t)("mod", "graph")
	if !strings.Contains(graph, "user github.com/golock/golock@") {
		t.Fatalf("the module does not require golock:\n%s", graph)
	}
	if strings.Contains(graph, "gopy") {
		t.Errorf("the module graph has gopy:\n%s", graph)
	}
}
