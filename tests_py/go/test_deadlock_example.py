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
    assert done.stdout.count("gives up") == 1
    assert done.stdout.endswith("All locks are free again.\n")
    for name in ("seller", "packer", "clerk", "goroutine"):
        assert name in done.stderr
    for lock in ("orders", "stock", "accounts", "journal"):
        assert lock in done.stderr
    assert re.search(r"auditor\.go.*audit", done.stderr)
    assert "with second:" in done.stderr or "deadlock.py" in done.stderr
