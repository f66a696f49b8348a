"""What threads do that cannot deadlock is never called a certain deadlock."""

from __future__ import annotations

import time

import pytest

from golock import sight
from harmless_schedules import run, signals_arrive


@pytest.mark.parametrize("level", ["waits", "owners", "order"])
def test_no_deadlock_is_certain_where_there_is_none(level, stress):
    with signals_arrive():
        until = time.monotonic() + stress.size(2.0, 300.0)
        done, told = run(10**9, until=until, level=level)
    assert not told.certain, told.certain[0]
    assert not sight.snapshot().waits
    stress.count("schedules without a deadlock", done)
