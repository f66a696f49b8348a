"""examples/deadlock: three threads and a goroutine wait in a circle, which golock.sight ends."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="no go command")


def test_the_circle_is_reported_and_ended(tmp_path):
    library = tmp_path / "auditor.so"
    build = ["go", "build", "-buildmode=c-shared", "-o", library, "./deadlock"]
    subprocess.run(build, cwd=EXAMPLES, check=True)
    program = [sys.executable, EXAMPLES / "deadlock" / "deadlock.py", library]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    told, _, end = done.stdout.rpartition("All locks are free again.\n")
    assert (told.count("gives up"), end) == (1, "")
    for name in (
        "seller",
        "packer",
        "clerk",
        "goroutine",
        "orders",
        "stock",
        "accounts",
        "journal",
    ):
        assert name in told
    assert re.search(r"auditor\.go.*audit", told)
    assert "deadlock.py" in told
