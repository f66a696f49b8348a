"""What golock.sight costs at each level, and what ddtrace's lock profiler costs, side by side.

All are measured in one process, by turns: an uncontended pair of acquire and release, a wait that
times out at once, and threads that fight for a lock. ddtrace is measured if it is installed; it
wraps the interpreter's locks, so it is compared with those, with its default sampling.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import statistics
import threading
import time
import timeit
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import golock
import golock.sight
import results
from golock.bench import Workload, contend

WORKLOADS = (Workload(8, 20, 20), Workload(32, 20, 20))
PR_SET_TIMERSLACK = 29
CLOCK = time.thread_time  # what other programs do meanwhile does not count


class Lock(Protocol):
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...


Sides = Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]]
"""For each side what sets it up, and what makes its locks."""


def pair(lock: Lock, calls: int) -> float:
    """Return the nanoseconds of processor time of an uncontended pair of calls."""
    names = {"acquire": lock.acquire, "release": lock.release}
    return (
        timeit.timeit("acquire(); release()", timer=CLOCK, globals=names, number=calls)
        / calls
        * 1e9
    )


def wait(lock: Lock, calls: int) -> float:
    """Return the nanoseconds of processor time of a wait that times out."""
    lock.acquire()
    names = {"acquire": lock.acquire}
    return (
        timeit.timeit("acquire(True, 50e-6)", timer=CLOCK, globals=names, number=calls)
        / calls
        * 1e9
    )


def by_turns(sides: Sides, measure: Callable[[Any], float], repeats: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, (set_up, allocate) in sides.items():
            set_up()
            figures[side].append(measure(allocate()))
    return figures


def costs(figures: Mapping[str, list[float]], without: str) -> dict[str, float]:
    """Return the minimum of each side, less that of the side without."""
    least = min(figures[without])
    return {side: min(runs) - least for side, runs in figures.items()}


def levels(which: tuple[str, ...] = golock.sight.LEVELS) -> Sides:
    def set_up(level: str) -> Callable[[], Any]:
        return lambda: golock.sight.start(level)

    return {level: (set_up(level), golock.Lock) for level in which}


def fights(workload: Workload, repeats: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return each level's rate and longest wait, relative to those without sight."""
    rates: dict[str, list[float]] = {level: [] for level in golock.sight.LEVELS}
    waits: dict[str, list[float]] = {level: [] for level in golock.sight.LEVELS}
    for _ in range(repeats):
        for level, (set_up, allocate) in levels().items():
            set_up()
            run = contend(allocate, workload, seconds)
            rates[level].append(run.rate)
            waits[level].append(run.longest_wait)
    return {
        level: {
            "rate": statistics.median(rates[level]) / statistics.median(rates["off"]),
            "longest wait": statistics.median(waits[level]) / statistics.median(waits["off"]),
            "longest wait, ms": statistics.median(waits[level]) * 1e3,
        }
        for level in golock.sight.LEVELS
    }


@contextlib.contextmanager
def ddtrace() -> Iterator[Callable[[], Any]]:
    """Start ddtrace's lock profiler alone, and give what makes its locks."""
    ddup = importlib.import_module("ddtrace.internal.datadog.profiling.ddup")
    collector = importlib.import_module("ddtrace.profiling.collector.threading")
    ddup.config(env="bench", service="bench", version="1", output_filename="/dev/null")
    ddup.start()
    profiler = collector.ThreadingLockCollector()
    profiler.start()
    try:
        yield threading.Lock
    finally:
        profiler.stop()


def compare(repeats: int, calls: int) -> dict[str, dict[str, float]]:
    """Return what each profiler adds to a pair and to a wait, in nanoseconds."""
    plain = threading.Lock
    with ddtrace() as profiled:
        sides = {
            "plain": (lambda: None, plain),
            "ddtrace": (lambda: None, profiled),
            **levels(("off", "waits", "owners")),
        }
        of_pair = by_turns(sides, lambda lock: pair(lock, calls), repeats)
        of_wait = by_turns(sides, lambda lock: wait(lock, calls // 20), repeats)
        golock.sight.stop()
    return {
        side: {"pair": costs(of_pair, base)[side], "wait": costs(of_wait, base)[side]}
        for side, base in (("ddtrace", "plain"), ("waits", "off"), ("owners", "off"))
    }


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, calls, seconds = (5, 2000, 0.3) if fast else (25, 20000, 1.0)
    # A wait ends soon after its time-out.
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    figures: dict[str, Any] = {
        "pair, ns more": costs(by_turns(levels(), lambda lock: pair(lock, calls), repeats), "off"),
        "wait, ns more": costs(
            by_turns(levels(), lambda lock: wait(lock, calls // 20), repeats), "off"
        ),
        "fights": {str(each): fights(each, max(3, repeats // 5), seconds) for each in WORKLOADS},
    }
    golock.sight.stop()
    try:
        figures["ddtrace"] = compare(repeats, calls)
    except ImportError:
        figures["ddtrace"] = None
    for name, figure in figures.items():
        print(name, figure)
    results.save("sight", figures, fast=fast)


if __name__ == "__main__":
    main()
