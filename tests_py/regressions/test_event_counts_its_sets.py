"""An event is set and cleared many times before its waiter gets the GIL.

The waiter notices by the count of sets in the event's word. A set that woke a waiter incremented
the count and then changed seven of its bits again. So the count could return to its old value, and
the waiter slept on.
"""

from __future__ import annotations

import sys

import pytest

import golock
from waiting import asleep_for_ever, join, start, wait_until


@pytest.mark.parametrize("before", range(240, 257))
def test_waiter_goes_on(before):
    for times in (254, 255, 256):
        event = golock.Event()
        for _ in range(before):
            event.set()
            event.clear()
        answers = []
        thread = start(lambda event=event, answers=answers: answers.append(event.wait()))
        wait_until(lambda thread=thread: asleep_for_ever(thread), "the thread sleeps")
        interval = sys.getswitchinterval()
        sys.setswitchinterval(10)
        for _ in range(times):
            event.set()
            event.clear()
        sys.setswitchinterval(interval)
        join([thread])
        assert answers == [True]
