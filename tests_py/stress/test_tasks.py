"""Tasks of several event loops and threads contend for a lock while tasks are cancelled."""

from __future__ import annotations

import os

import pytest

PROGRAM = """
import sys
import golock
sys.path.insert(0, {folder!r})
from contending_tasks import Contest

contest = Contest(getattr(golock, sys.argv[1])())
contest.run(int(sys.argv[2]))
assert contest.lock.acquire(False)
print(contest.count - contest.expected, contest.count, contest.cancelled)
"""


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
@pytest.mark.parametrize("setting", ["GOLOCK_HANDOFF=0.001", "GOLOCK_HANDOFF=0", "GOLOCK_CORE=0"])
def test_nothing_is_lost(numbers, stress, kind, setting):
    name, _, value = setting.partition("=")
    lost, taken, cancelled = numbers(
        PROGRAM.format(folder=os.path.dirname(__file__)),  # noqa: PTH120
        kind,
        stress.size(10_000, 1_000_000),
        env={**os.environ, name: value, "PYTHONWARNINGS": "ignore"},
        timeout=280,
    )
    assert lost == 0
    stress.count("acquires of threads and tasks", taken)
    stress.count("cancelled tasks", cancelled)
