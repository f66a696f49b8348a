"""The README's steps for Go, as a new user follows them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
GO = shutil.which(os.environ.get("GO", "go"))

pytestmark = [
    pytest.mark.skipif(GO is None, reason="there is no go command"),
    pytest.mark.skipif(
        not (SOURCE / "README.md").exists(), reason="the source tree is not beside the tests"
    ),
    # A first build fills Go's cache, which takes minutes on a small machine.
    pytest.mark.timeout(900),
]


def test_steps_in_an_empty_folder(tmp_path: Path) -> None:
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    found = re.search(
        r"^```go\n(package main\n.*?)^```\n.*?^```\n(go mod init .*?)^```\n", readme, re.M | re.S
    )
    assert found is not None
    program, steps = found.groups()
    (tmp_path / "main.go").write_text(program, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "GOFLAGS"}
    for step in steps.splitlines():
        name, *arguments = shlex.split(step.replace("/path/to/golock", shlex.quote(str(SOURCE))))
        assert name == "go"
        done = subprocess.run(
            [str(GO), *arguments],
            cwd=tmp_path,
            env={**environment, "GOWORK": "off"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (step, done.stderr)
    assert re.findall(r"// (.*)", program)[-1] == done.stdout.strip()
    assert "gopy" not in (tmp_path / "go.sum").read_text(encoding="utf-8")
