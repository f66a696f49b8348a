"""How soon a waiter runs after a release: 64 threads wait for 64 locks.

The time is measured from just before ``release()`` until the waiter is back in Python code with the
lock, so it includes the wait for the GIL. The locks are released all together, so that the waiters
compete for the GIL, and one at a time.
"""

from __future__ import annotations

import statistics
import threading
import time

import golock
import results
from golock.bench import Allocate, interpreter_family

THREADS = 64
SETTLE = 0.005  # seconds for the waiters to go to sleep
ALONE = 0.001  # seconds between two releases one at a time


def wake_times(allocate: Allocate, rounds: int, pause: float | None) -> list[float]:
    """Return milliseconds from each release to its wake, with `pause` seconds between releases."""
    locks = [allocate() for _ in range(THREADS)]
    released: list[list[int]] = [[] for _ in locks]
    woken: list[list[int]] = [[] for _ in locks]
    clock = time.perf_counter_ns

    def wait(index: int) -> None:
        acquire, stamps = locks[index].acquire, woken[index]
        for _ in range(rounds):
            acquire()
            stamps.append(clock())

    for lock in locks:
        lock.acquire()
    threads = [threading.Thread(target=wait, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for done in range(1, rounds + 1):
        time.sleep(SETTLE)
        for lock, stamps in zip(locks, released, strict=True):
            stamps.append(clock())
            lock.release()
            if pause is not None:
                time.sleep(pause)
        while any(len(stamps) < done for stamps in woken):
            time.sleep(ALONE)
    for thread in threads:
        thread.join()
    return [
        (end - start) / 1e6
        for starts, ends in zip(released, woken, strict=True)
        for start, end in zip(starts, ends, strict=True)
    ]


def summarize(times: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum."""
    return {
        "median": statistics.median(times),
        "p99": statistics.quantiles(times, n=100)[98],
        "max": max(times),
    }


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, rounds = (2, 5) if fast else (5, 20)
    locks = {"golock": golock.allocate_lock, "interpreter": interpreter_family().allocate_lock}
    figures = {}
    for name, pause in {"all together": None, "one at a time": ALONE}.items():
        times: dict[str, list[float]] = {lock: [] for lock in locks}
        for _ in range(repeats):
            for lock, allocate in locks.items():
                times[lock] += wake_times(allocate, rounds, pause)
        figures[name] = {lock: summarize(times[lock]) for lock in locks}
    results.save("wake", {"threads": THREADS, "unit": "ms", "releases": figures}, fast=fast)


if __name__ == "__main__":
    main()
