"""Ten thousand goroutines that wait for a Python lock need few threads, and all get it."""

from __future__ import annotations

import os
from pathlib import Path

GOROUTINES = 10_000
ADDED_THREADS = 4  # at most


def test_ten_thousand_wait_for_a_lock_that_a_thread_holds(python, check):
    result = python(
        f"""
        import os
        import golock
        from goroutines import shared_lock
        from waiting import wait_until

        def threads():
            return len(os.listdir("/proc/self/task"))

        with shared_lock() as (lock, peer):
            with lock:
                peer.Start(100, "timeout=0.01")
                peer.Join(60)
                lock.acquire(timeout=0.01)  # loads golock's core, which starts its threads
                before = threads()
                peer.Start({GOROUTINES}, "lock")
                wait_until(lambda: peer.Entered() == 100 + {GOROUTINES}, "all have begun")
                wait_until(peer.Waiters, "one waits for all")
                while_they_wait = threads()
            peer.Join(60)
            assert max(while_they_wait, threads()) <= before + {ADDED_THREADS}, (
                before, while_they_wait, threads()
            )
            print(peer.Acquired(), peer.Count())
        """,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parent}"},
    )
    check(result, f"{GOROUTINES} {GOROUTINES}\n")
