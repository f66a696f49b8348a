"""The death of a holder is told if no other process used the lock when it happened."""

from __future__ import annotations

import os

import pytest

from golock.process import Lock

# From 3.12 on, os.fork() warns when the process has threads, the sentinel included.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def lock_of_the_dead():
    """Return a lock that a child died with, and that this process has not used yet."""
    lock = Lock()
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        os._exit(0)
    os.waitpid(pid, 0)
    return lock


def test_looking_tells():
    lock = lock_of_the_dead()
    assert not lock.locked()
    assert lock.holder is None
    assert lock.abandoned
    assert repr(lock) == "<golock.process.Lock: free, abandoned>"
    with lock:
        assert lock.recover() == 1
    assert not lock.abandoned


def test_release_does_not_hide_it():
    lock = lock_of_the_dead()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    assert lock.abandoned
    with lock:
        assert lock.recover() == 1
