"""A test suite run side by side by pytest-xdist, with its controller and its workers on golock."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

# The workers are processes of their own, which `python -m golock run` does not reach.
CONFTEST = """
import golock

golock.install()
"""

SUITE = """
import os
import queue
import threading

import golock
import pytest


@pytest.mark.parametrize("size", range(1, 11))
def test_queue(size):
    items, received = queue.Queue(size), []
    assert type(items.mutex) is golock.LockType
    receiver = threading.Thread(target=lambda: received.extend(items.get() for _ in range(200)))
    receiver.start()
    for number in range(200):
        items.put(number)
    receiver.join()
    assert received == list(range(200))


@pytest.mark.timeout(1)
def test_that_times_out():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def test_whose_worker_dies():
    os._exit(3)
"""


def test_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    suite, report = tmp_path / "test_suite.py", tmp_path / "report.xml"
    tmp_path.joinpath("conftest.py").write_text(CONFTEST)
    suite.write_text(SUITE)
    command = [sys.executable, "-m", "golock", "run", "-m", "pytest", "-n", "2"]
    command += ["-o", "addopts=", f"--rootdir={tmp_path}", f"--junitxml={report}", str(suite)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ET.parse(report).findall(".//testcase")
    assert len(cases) == 12
    assert {case.get("name") for case in cases if len(case)} == {
        "test_that_times_out",
        "test_whose_worker_dies",
    }
