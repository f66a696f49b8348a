"""on_lost is called for each lock that is lost, whatever another lock's on_lost does."""

from __future__ import annotations

import sys
import threading

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


def lose(lock):
    """Delete the key of a lock for which nobody waits, as somebody with etcdctl."""
    with etcd.Lock("of somebody") as other:
        other.guard(etcd.Txn().delete(lock.key))
    with pytest.raises(etcd.LockLost):
        lock.release()


def test_lock_that_the_release_finds_lost(name):
    told = threading.Event()
    lock = etcd.Lock(name, on_lost=lambda lock: told.set())
    lock.acquire()
    lose(lock)
    assert told.wait(30)
    assert lock not in [reference() for reference, _ in etcd._this._telling.values()]


@pytest.mark.parametrize("ends", [sys.exit, threading.Event().wait], ids=["exit", "blocks"])
def test_another_on_lost_that_does_not_return(name, ends):
    entered, told = threading.Event(), threading.Event()

    def bad(lock):
        entered.set()
        ends()

    first = etcd.Lock(f"{name} 1", on_lost=bad)
    second = etcd.Lock(f"{name} 2", on_lost=lambda lock: told.set())
    for lock, event in ((first, entered), (second, told)):
        lock.acquire()
        lose(lock)
        assert event.wait(30)
