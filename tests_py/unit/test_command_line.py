"""``python -m golock`` without a command, and where golock is not installed."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import golock

ROOT = Path(__file__).resolve().parents[2]


def test_version() -> None:
    command = [sys.executable, "-m", "golock", "--version"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == f"golock {golock.__version__} on Python {platform.python_version()}\n"


@pytest.mark.skipif(not (ROOT / "golock").exists(), reason="no checkout beside the tests")
def test_not_installed() -> None:
    """The Go package has the same name as Python's, and a checkout has it in the first place."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "golock", "info"],  # without site-packages
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("golock is not installed for ")
    assert "pip install ." in done.stderr


@pytest.mark.skipif(not (ROOT / "golock").exists(), reason="no checkout beside the tests")
def test_installed_and_in_a_checkout() -> None:
    """The installed package comes before the folder."""
    command = [sys.executable, "-m", "golock", "info"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"golock{golock.__version__}" in done.stdout.replace(" ", "")
