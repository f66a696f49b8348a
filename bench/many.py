"""Many threads: 256 that fight for one lock, and up to 10,000 that wait for one lock each."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

import golock
import results
from golock.bench import Allocate, Workload, contend, interpreter_family

FEW, MANY = Workload(8, 20, 20), Workload(256, 20, 20)
WAITERS = (1_000, 10_000)
STACK = 128 * 1024  # bytes for each waiter


def rates(allocate: Allocate, seconds: float, repeats: int) -> dict[str, float]:
    """Return acquires a second of few and of many threads, measured by turns, and the ratio."""
    few, many = [], []
    for _ in range(repeats):
        few.append(contend(allocate, FEW, seconds).rate)
        many.append(contend(allocate, MANY, seconds).rate)
    of_few, of_many = statistics.median(few), statistics.median(many)
    return {"few": of_few, "many": of_many, "ratio": of_many / of_few}


def wake_all(allocate: Allocate, waiters: int) -> float:
    """Return milliseconds from the first release of `waiters` locks until all are acquired."""
    locks = [allocate() for _ in range(waiters)]
    left = waiters
    guard, done = threading.Lock(), threading.Event()

    def wait(index: int) -> None:
        nonlocal left
        locks[index].acquire()
        with guard:
            left -= 1
            if left == 0:
                done.set()

    for lock in locks:
        lock.acquire()
    threads = [threading.Thread(target=wait, args=(index,)) for index in range(waiters)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    started = time.perf_counter()
    for lock in locks:
        lock.release()
    done.wait()
    elapsed = time.perf_counter() - started
    for thread in threads:
        thread.join()
    return elapsed * 1e3


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, seconds = (2, 0.5) if fast else (5, 1.0)
    locks = {"golock": golock.allocate_lock, "interpreter": interpreter_family().allocate_lock}
    figures: dict[str, Any] = {
        "one_lock": {name: rates(allocate, seconds, repeats) for name, allocate in locks.items()}
    }
    threading.stack_size(STACK)
    for waiters in WAITERS:
        times: dict[str, list[float]] = {name: [] for name in locks}
        for _ in range(repeats):
            for name, allocate in locks.items():
                times[name].append(wake_all(allocate, waiters))
        figures[str(waiters)] = {name: min(runs) for name, runs in times.items()}
    results.save("many", {"threads": [str(FEW), str(MANY)], **figures}, fast=fast)


if __name__ == "__main__":
    main()
