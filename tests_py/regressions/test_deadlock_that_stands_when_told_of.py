"""A deadlock that is found while golock.sight is started again is told."""

from __future__ import annotations

import queue
import threading

from golock import Lock, sight
from waiting import start, wait_until


def test_a_deadlock_that_stands_is_told():
    told = queue.SimpleQueue()
    for _ in range(20):
        sight.start("owners", on_deadlock=None)
        locks, both = [Lock(), Lock()], threading.Barrier(2)

        def work(mine, other, both=both):
            mine.acquire()
            both.wait()
            other.acquire()

        threads = [start(work, *pair) for pair in (locks, reversed(locks))]
        wait_until(sight.deadlocks, "they are found")
        sight.start("owners", on_deadlock=told.put, threshold=1e-6)
        try:
            assert len(told.get(timeout=30).waits) == 2
        finally:
            for lock in locks:
                lock.release()
            for thread in threads:
                thread.join()
            sight.stop()
