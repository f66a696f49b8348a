"""Whoever clears an event sees what was stored before an earlier `set`, even of a set event.

Without a GIL some wake-ups were lost. TestEventSetAgainIsSeenByWhoClears is the same test in Go.
"""

from __future__ import annotations

import sys
import time

import pytest

import golock
from waiting import join, start


@pytest.mark.skipif(getattr(sys, "_is_gil_enabled", lambda: True)(), reason="needs no GIL")
def test_store_and_set_beside_clear_and_look():
    event, stored, ready, done = golock.Event(), [0], [0, 0], [0]
    rounds, end, lost = 300_000, time.monotonic() + 2, 0

    def meet(me, number):
        ready[me] = number
        while ready[1 - me] < number:
            pass

    def produce():
        for number in range(1, rounds + 1):
            meet(0, number)
            stored[0] = number
            event.set()
            done[0] = number

    event.set()
    producer = start(produce)
    for number in range(1, rounds + 1):
        meet(1, number)
        event.clear()
        seen = stored[0] == number
        while done[0] < number:
            pass
        lost += not seen and not event.is_set()
        event.set()
        if number % 1024 == 0 and time.monotonic() > end:
            ready[1] = rounds
            break
    join([producer])
    assert lost == 0
