"""A lock bound by gopy, and hand-overs between a goroutine and a Python thread.

A pair of calls through gopy is compared with golock's, on a lock that is shared with Go and on one
that is not. A hand-over is a release that wakes another thread, and back: between two Python
threads, and between a Python thread and a goroutine.
"""

from __future__ import annotations

import statistics
import threading
import time
import timeit
from collections.abc import Callable
from typing import Any

from gopy_counter import counter, peer  # type: ignore[import-untyped]

import golock
import results

SECONDS = 0.02
"""The approximate time of a sample of calls."""


def pair_times(locks: dict[str, Any], repeats: int) -> dict[str, list[float]]:
    """Return nanoseconds for a pair of calls on each lock, measured in turn."""
    timers = {
        name: timeit.Timer(f"lock.{acquire}(); lock.{release}()", globals={"lock": lock})
        for name, (lock, acquire, release) in locks.items()
    }
    numbers = {
        name: max(1, round(SECONDS / (timer.timeit(1000) / 1000))) for name, timer in timers.items()
    }
    times: dict[str, list[float]] = {name: [] for name in locks}
    for _ in range(repeats):
        for name, timer in timers.items():
            times[name].append(timer.timeit(numbers[name]) / numbers[name] * 1e9)
    return times


def ping_pong(rounds: int, pong: Callable[[golock.LockType, golock.LockType], None]) -> float:
    """Return microseconds for a hand-over and back, with `pong` at the other end."""
    there, back = golock.Lock(), golock.Lock()
    with golock.shared(there), golock.shared(back):
        there.acquire()
        back.acquire()
        pong(there, back)
        started = time.perf_counter_ns()
        for _ in range(rounds):
            there.release()
            back.acquire()
        return (time.perf_counter_ns() - started) / rounds / 1e3


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, rounds = (5, 500) if fast else (21, 5000)
    golock.use_core(counter.Core())
    mutex, lock, shared = peer.NewMutex(), golock.Lock(), golock.Lock()
    threads: list[threading.Thread] = []

    def thread(there: golock.LockType, back: golock.LockType) -> None:
        def answer() -> None:
            for _ in range(rounds):
                there.acquire()
                back.release()

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    def goroutine(there: golock.LockType, back: golock.LockType) -> None:
        peer.Pong(there.address, back.address, rounds)

    with golock.shared(shared):
        times = pair_times(
            {
                "gopy": (mutex, "Lock", "Unlock"),
                "golock": (lock, "acquire", "release"),
                "golock, shared": (shared, "acquire", "release"),
            },
            repeats,
        )
    times |= {"thread": [], "goroutine": []}
    for _ in range(repeats):
        times["thread"].append(ping_pong(rounds, thread))
        times["goroutine"].append(ping_pong(rounds, goroutine))
    for each in threads:
        each.join()
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures = {
        "pair_ns": {name: medians[name] for name in ("gopy", "golock", "golock, shared")},
        "times_faster": {
            name: medians["gopy"] / medians[name] for name in ("golock", "golock, shared")
        },
        "hand_over_us": {name: medians[name] for name in ("thread", "goroutine")},
        "hand_over_ratio": medians["goroutine"] / medians["thread"],
    }
    results.save("gopy", figures, fast=fast)


if __name__ == "__main__":
    main()
