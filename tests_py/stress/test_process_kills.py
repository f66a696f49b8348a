"""Processes that fight for one lock and are killed at random, however they were started.

No update is lost, nobody hangs, and no death of a holder is told twice or not at all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "process_kills.py"


def kills(stress, workers, acquires, number, start, **environment):
    command = [sys.executable, PROGRAM, *map(str, (workers, acquires, number)), start]
    result = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=stress.size(200, 3000),
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    counts = json.loads(result.stdout)
    assert counts["killed"] == number
    stress.count("acquires across processes", counts["updates"])
    stress.count("processes killed", counts["killed"])
    stress.count("deaths of holders told", counts["told"])


def test_forked_workers(stress):
    kills(stress, 16, stress.size(5000, 1000000), stress.size(300, 10000), "fork")


@pytest.mark.parametrize("start", ["spawn", "exec"])
def test_started_workers(stress, start):
    kills(stress, 4, 1000, stress.size(10, 300), start)


def test_workers_in_pid_namespaces(stress):
    probe = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs PID namespaces")
    kills(stress, 4, 1000, stress.size(10, 300), "namespaces")


def test_without_sentinels(stress):
    kills(stress, 8, 1000, stress.size(100, 3000), "fork", GOLOCK_SENTINEL="0")
