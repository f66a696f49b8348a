"""Condition() uses the current threading.RLock, as the interpreter's does.

It used golock's RLock even when a library had replaced threading.RLock.
"""

from __future__ import annotations

import pytest

PROGRAM = """
import threading
import golock
{install}
plain = threading.Condition()
class Own:
    made = 0
    def __init__(self):
        Own.made += 1
        self.lock = allocate()
        self.acquire, self.release, self.locked = (
            self.lock.acquire, self.lock.release, self.lock.locked)
allocate, before = threading.Lock, threading.RLock
threading.RLock = Own
made = threading.Condition()
made.acquire(), made.wait(0.001), made.release()
print(type(made._lock).__name__, Own.made)
threading.RLock = before
print(type(threading.Condition()._lock) is type(plain._lock), Own.made)
"""


@pytest.mark.parametrize("install", ["", "golock.install()"], ids=["interpreter", "golock"])
def test_condition_takes_rlock_as_it_stands(python, check, install):
    result = python(PROGRAM.format(install=install))
    check(result, "Own 1\nTrue 1\n")
