"""Gunicorn's master and workers, unchanged, on golock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("gunicorn_server.py")


@pytest.mark.parametrize(
    "options",
    [("--threads=4",), ("--threads=4", "--preload"), ("--worker-class=sync",)],
    ids=["threads", "threads, preload", "sync"],
)
def test_gunicorn(options: tuple[str, ...]) -> None:
    """Workers contend for a lock, are replaced, and are stopped while one of them answers."""
    pytest.importorskip("gunicorn")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "counted": True,
        "new workers": True,
        "answered while it stopped": [1],
        "locks": ["golock"],
        "status": 0,
        "log": [],
    }
