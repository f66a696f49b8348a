"""Locks across processes beside multiprocessing.Lock and filelock.

The time of an uncontended pair of acquire and release (the minimum of many short runs, taken in
turn), and the rate and the longest wait when processes fight for the lock; and the time from
`kill -9` of a holder to the next owner, which the others never reach.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

import results
from golock.process import Lock

# Returns a function that each process calls for its lock.
Maker = Callable[[], Callable[[], Any]]
RUNS, PAIRS = 400, 500


def process_lock() -> Callable[[], Any]:
    lock = Lock()
    return lambda: lock


def multiprocessing_lock() -> Callable[[], Any]:
    lock = multiprocessing.Lock()
    return lambda: lock


def file_lock() -> Callable[[], Any]:
    path = Path(tempfile.mkdtemp(), "lock")
    return lambda: filelock.FileLock(path)


MAKERS: dict[str, Maker] = {
    "golock.process.Lock": process_lock,
    "multiprocessing.Lock": multiprocessing_lock,
    "filelock.FileLock": file_lock,
}


def pair(lock: Any) -> float:
    acquire, release = lock.acquire, lock.release
    began = time.perf_counter_ns()
    for _ in range(PAIRS):
        acquire()
        release()
    return (time.perf_counter_ns() - began) / PAIRS


def uncontended() -> dict[str, float]:
    locks = {name: make()() for name, make in MAKERS.items()}
    best = dict.fromkeys(locks, float("inf"))
    for turn in range(RUNS):
        for name, lock in locks.items():
            if name.startswith("filelock") and turn % 40:
                continue
            best[name] = min(best[name], pair(lock))
    return best


def fight(make: Maker, processes: int, seconds: float) -> tuple[float, float]:
    """Return the acquires a second of all, and the longest wait in milliseconds."""
    open_lock = make()
    memory = mmap.mmap(-1, 16 * processes)
    children = []
    stop = time.monotonic() + seconds
    for me in range(processes):
        pid = os.fork()
        if pid == 0:
            lock, count, longest = open_lock(), 0, 0.0
            while (began := time.monotonic()) < stop:
                with lock:
                    longest = max(longest, time.monotonic() - began)
                    count += 1
            memory[16 * me : 16 * me + 16] = struct.pack("qd", count, longest)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    each = list(struct.iter_unpack("qd", memory))
    return sum(count for count, _ in each) / seconds, max(longest for _, longest in each) * 1000


def after_a_kill(times: int = 200) -> list[float]:
    """Return how long it took from each kill until the next owner had the lock, in milliseconds."""
    lock = Lock()
    reader, writer = os.pipe()
    took = []
    for _ in range(times):
        pid = os.fork()
        if pid == 0:
            lock.acquire()
            os.write(writer, b"h")
            signal.pause()
        os.read(reader, 1)
        owned: list[float] = []

        def wait(owned: list[float] = owned) -> None:
            lock.acquire()
            owned.append(time.perf_counter())

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.005)
        killed = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        waiter.join()
        os.waitpid(pid, 0)
        took.append((owned[0] - killed) * 1000)
        lock.recover()
        lock.release()
    return sorted(took)


def main() -> None:
    fast = results.parse_fast(__doc__)
    turns, seconds, kills = (1, 0.2, 20) if fast else (3, 1.0, 200)
    fights: dict[str, dict[int, list[tuple[float, float]]]] = {
        name: {4: [], 16: []} for name in MAKERS
    }
    for _ in range(turns):
        for name, make in MAKERS.items():
            for processes, runs in fights[name].items():
                runs.append(fight(make, processes, seconds))
    took = after_a_kill(kills)
    figures = {
        "pairs_ns": uncontended(),
        "fights": {
            name: {
                processes: {
                    "rate": statistics.median(rate for rate, _ in runs),
                    "longest_wait_ms": statistics.median(wait for _, wait in runs),
                }
                for processes, runs in of.items()
            }
            for name, of in fights.items()
        },
        "after_a_kill_ms": {
            "times": kills,
            "median": statistics.median(took),
            "p99": took[len(took) * 99 // 100],
            "max": took[-1],
        },
    }
    results.save("process", figures, fast=fast)


if __name__ == "__main__":
    main()
