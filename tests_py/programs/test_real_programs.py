"""Unchanged programs that use well-known libraries run on golock and check their results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent


@pytest.mark.parametrize(
    ("library", "program"),
    [
        ("urllib3", "urllib3_pool.py"),
        ("sqlalchemy", "sqlalchemy_pool.py"),
        ("cachetools", "cachetools_cache.py"),
        ("waitress", "waitress_server.py"),
    ],
)
def test_program(library: str, program: str, tmp_path: Path) -> None:
    """The program prints which module the types of the library's locks come from."""
    pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, "-m", "golock", "run", str(PROGRAMS / program), "database"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)) == {"golock"}


@pytest.mark.slow
@pytest.mark.parametrize("golock", [(), ("-m", "golock", "run")], ids=["without", "with"])
def test_celery_worker(golock: tuple[str, ...], tmp_path: Path) -> None:
    """Eight tasks run in the default pool, which forks; then the worker stops."""
    pytest.importorskip("celery")
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "celery_tasks.py"), sys.executable, *golock],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    log = tmp_path.joinpath("worker.log").read_text()
    assert (done.returncode, done.stderr) == (0, ""), log
    assert "Traceback" not in log
    assert json.loads(done.stdout) == {
        "squares": [number**2 for number in range(8)],
        "in other processes": True,
        "installed": [bool(golock)],
        "status": 0,
    }
