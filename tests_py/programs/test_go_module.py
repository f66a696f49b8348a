"""The steps of README.md and docs/sharing.md for Go, as a new user follows them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from go_tool import SOURCE, needs_go, needs_source, takes_minutes

pytestmark = [
    pytest.mark.once,
    needs_go,
    needs_source,
    takes_minutes,
    pytest.mark.skipif(os.environ.get("GOLOCK_FASTPATH") == "0", reason="no other steps"),
]

NEW_MODULE = """
go mod init example.com/program
go mod edit -replace github.com/golock/golock=/path/to/golock
"""


def libraries() -> list[Path]:
    """Return the libraries that a program can link with to embed the interpreter of this test."""
    folders = {"LIBDIR": "LDLIBRARY", "LIBPL": "LIBRARY"}
    named = [(sysconfig.get_config_var(a), sysconfig.get_config_var(b)) for a, b in folders.items()]
    return [Path(folder, name) for folder, name in named if Path(folder, name).exists()]


def run(steps: str, folder: Path) -> str:
    """Run the steps in a shell and return what they printed; `python` is the one of this test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "GOFLAGS"}
    done = subprocess.run(
        ["sh", "-ec", steps.replace("/path/to/golock", f"'{SOURCE}'")],
        cwd=folder,
        env={**environment, "GOWORK": "off", "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(document: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block of code."""
    text = (SOURCE / document).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_steps_in_an_empty_folder(tmp_path: Path) -> None:
    (program,) = (text for _, text in blocks("README.md") if text.startswith("package main"))
    (steps,) = (text for _, text in blocks("README.md") if text.startswith("go mod init"))
    (tmp_path / "main.go").write_text(program, encoding="utf-8")
    assert run(steps, tmp_path).strip() == re.findall(r"// (.*)", program)[-1]
    assert "gopy" not in (tmp_path / "go.sum").read_text(encoding="utf-8")


WORKERS = """package workers

import "github.com/golock/golock/golock"

// Held reports whether the lock at the address is taken.
func Held(address int) (bool, error) {
	lock, err := golock.At(uintptr(address))
	if err != nil || !lock.TryLock() {
		return err == nil, err
	}
	lock.Unlock()
	return false, nil
}
"""

HELD = """
import golock
from workers_py import workers
lock = golock.Lock()
with golock.shared(lock) as address, lock:
    print(workers.Held(address))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_ENABLE_SHARED"), reason="gopy links with libpython"
)
def test_package_bound_by_gopy(tmp_path: Path) -> None:
    (steps,) = (text for _, text in blocks("docs/sharing.md") if text.startswith("go get -tool"))
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "workers.go").write_text(WORKERS, encoding="utf-8")
    run(f"{NEW_MODULE}\ngo mod tidy\n{steps}", tmp_path)
    assert run(f"python -c '{HELD}'", tmp_path) == "True\n"


@pytest.mark.slow
def test_program_that_embeds_python(tmp_path: Path) -> None:
    sharing = (SOURCE / "docs" / "sharing.md").read_text(encoding="utf-8")
    (step,) = re.findall(r"`(python cgo\.py [^`]+)`", sharing)
    shutil.copytree(SOURCE / "examples" / "embed", tmp_path, dirs_exist_ok=True)
    steps = f"{NEW_MODULE}\ngo mod tidy\n{step}"
    run(steps, tmp_path)
    assert (tmp_path / "program").exists() or not libraries()
