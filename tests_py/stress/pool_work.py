"""What the processes of a pool do; a module, because spawn and forkserver import it."""

from __future__ import annotations

import os
import threading
import time

import golock

ROUNDS = 20
THREADS = 3

shared = golock.allocate_lock()


def work(number: int) -> tuple[int, int]:
    """Contend for a lock that this process made or inherited from its parent."""
    total = 0

    def fight() -> None:
        nonlocal total
        for _ in range(ROUNDS):
            with shared:
                seen = total
                time.sleep(0)
                total = seen + 1

    threads = [threading.Thread(target=fight) for _ in range(THREADS)]
    with shared:
        for thread in threads:
            thread.start()
        assert not shared.acquire(timeout=0.0005)
    for thread in threads:
        thread.join()
    assert total == ROUNDS * THREADS
    return number, os.getpid()
