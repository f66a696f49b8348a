"""Whatever Python code does to the objects, nothing crashes, hangs or leaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "memory_safety.py"


def run(stress, environment, examples):
    """Run the state machine; return the number of steps it took."""
    command = [sys.executable, str(PROGRAM), str(examples), "50", str(int(stress.soak))]
    limit = stress.size(280, 1500)
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=limit, check=False
    )
    steps = result.stdout.splitlines()
    assert result.returncode == 0, "\n".join([*steps[-60:], result.stderr])
    assert steps[-1] == "passed"
    assert "Sanitizer" not in result.stderr
    return len(steps)


def test_whatever_is_done(stress):
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    stress.count("hostile steps", run(stress, environment, stress.size(60, 1000)))
