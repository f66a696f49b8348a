"""A program frozen by PyInstaller, which finds golock's hook by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "frozen.py"


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_ENABLE_SHARED"), reason="the interpreter has no shared library"
)
@pytest.mark.slow
def test_frozen_program(tmp_path):
    pytest.importorskip("PyInstaller")
    if not any(hook.value.startswith("golock.") for hook in entry_points(group="pyinstaller40")):
        pytest.skip("golock is not installed as a package")
    frozen = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--log-level=ERROR", "--onedir", str(PROGRAM)],
        cwd=tmp_path,
        env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert frozen.returncode == 0, frozen.stderr
    done = subprocess.run(
        [tmp_path / "dist" / "frozen" / "frozen"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "frozen": True,
        "golocks": True,
        "core": True,
        "header": True,
        "code of threading": "code",
    }
