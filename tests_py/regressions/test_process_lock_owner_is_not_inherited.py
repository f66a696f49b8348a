"""A child made by fork does not take its parent for a holder from whom others took the lock."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("holder", ["the thread that forks", "another thread"])
def test_child_takes_the_lock_of_its_parent(python, check, holder):
    result = python(
        f"""
        import os, threading, warnings
        from golock import sight
        from golock.process import Lock

        warnings.filterwarnings("ignore", "This process", DeprecationWarning)
        sight.start("owners")
        lock = Lock()
        if {holder == "another thread"}:
            thread = threading.Thread(target=lock.acquire)
            thread.start()
            thread.join()
        else:
            lock.acquire()
        pid = os.fork()
        if pid == 0:
            with lock:
                (found,) = sight.snapshot().locks
                print(found.released_by_another, found.holder.name, flush=True)
            os._exit(0)
        lock.release()
        os.waitpid(pid, 0)
        """,
        timeout=60,
    )
    check(result, "False MainThread\n")
