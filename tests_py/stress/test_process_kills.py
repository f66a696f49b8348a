"""Processes that use one lock or one event and are killed at random, however they were started.

No update is lost, nobody hangs, and no death of a holder is told twice or not at all. No waiter
sleeps while the event is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(stress, program, *arguments, **environment):
    """Run a program, and return the counts that it prints."""
    result = subprocess.run(
        [sys.executable, HERE / program, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=stress.size(200, 3000),
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    return json.loads(result.stdout)


def kills(stress, workers, acquires, number, start, **environment):
    counts = run(stress, "process_kills.py", workers, acquires, number, start, **environment)
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


def test_event(stress):
    counts = run(stress, "process_event_kills.py", 8, stress.size(300, 3000))
    stress.count("processes killed at an event", counts["kills"])
    stress.count("events set across processes", counts["sets"])
