"""Threads that fight for one lock: acquires, longest wait, fairness."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._family import Allocate
from ._measure import Measure, Target, which


def jain(counts: Sequence[float]) -> float:
    """Jain's fairness index of what each thread got: 1 if all got the same, 1/n if one got all.

    From R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination for
    Resource Allocation in Shared Computer Systems", DEC-TR-301, 1984. Raises ValueError if nobody
    got anything, because the index is undefined then.
    """
    squares = sum(count * count for count in counts)
    if not squares:
        raise ValueError("the fairness index needs at least one count above zero")
    return sum(counts) ** 2 / (len(counts) * squares)


@dataclass(frozen=True)
class Workload:
    """The number of threads that share a lock, and their empty loop steps with and without it."""

    threads: int
    inside: int
    outside: int

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.inside}/{self.outside}"


@dataclass(frozen=True)
class Contention:
    """The results of one run of a `Workload`."""

    counts: tuple[int, ...]
    """The acquires of each thread."""
    seconds: float
    """The time from the start signal to the stop flag."""
    longest_wait: float
    """The longest call of ``acquire``, in seconds."""

    @property
    def rate(self) -> float:
        """Acquires a second of all threads together."""
        return sum(self.counts) / self.seconds

    @property
    def fairness(self) -> float:
        """`jain` of the counts."""
        return jain(self.counts)


def contend(allocate: Allocate, workload: Workload, seconds: float) -> Contention:
    """Run `workload` for `seconds` on one lock from `allocate`."""
    lock = allocate()
    ready = threading.Barrier(workload.threads + 1)
    start = threading.Event()
    stop: list[bool] = []
    results: list[tuple[int, int]] = []

    def work() -> None:
        acquire, release, clock = lock.acquire, lock.release, time.perf_counter_ns
        inside, outside = range(workload.inside), range(workload.outside)
        count = longest = 0
        ready.wait()
        start.wait()
        while not stop:
            wait = clock()
            acquire()
            wait = clock() - wait
            for _ in inside:
                pass
            release()
            if wait > longest:  # noqa: PLR1730  max() would be a call
                longest = wait
            count += 1
            for _ in outside:
                pass
        results.append((count, longest))

    threads = [threading.Thread(target=work) for _ in range(workload.threads)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    start.set()
    time.sleep(seconds)
    stop.append(True)
    elapsed = time.perf_counter() - started
    for thread in threads:
        thread.join()
    return Contention(
        counts=tuple(count for count, _ in results),
        seconds=elapsed,
        longest_wait=max(wait for _, wait in results) / 1e9,
    )


def _ratio(bound: str, limit: float) -> Target:
    return Target("ratio", bound, limit)


def _golock(bound: str, limit: float) -> Target:
    return Target("golock", bound, limit)


_FAIR = _golock(">=", 0.9)
_RATE = _ratio(">=", which(6, 1.05, 1.1))
_WAIT = which(_golock("<=", 35), _ratio("<=", 0.7), _ratio("<=", 0.8))

# The targets of each workload: acquires a second, longest wait in ms, fairness.
WORKLOADS: dict[Workload, tuple[Target | None, Target | None, Target | None]] = {
    Workload(2, 0, 0): (None, None, None),
    Workload(8, 20, 20): (_RATE, _WAIT, None),
    Workload(8, 200, 20): (None, None, None),
    Workload(32, 20, 20): (_RATE, _WAIT, _FAIR),
}


def measure_contention(
    workload: Workload, subject: Allocate, peer: Allocate, repeats: int, seconds: float
) -> list[Measure]:
    """Measure acquires a second, longest wait and fairness in `repeats` runs of `seconds`."""
    ours: list[Contention] = []
    theirs: list[Contention] = []
    for _ in range(repeats):
        ours.append(contend(subject, workload, seconds))
        theirs.append(contend(peer, workload, seconds))

    def measure(
        name: str,
        unit: str,
        figure: Callable[[Contention], float],
        target: Target | None,
        more_is_better: bool = True,
    ) -> Measure:
        return Measure(
            f"{workload}: {name}",
            unit,
            statistics.median,
            tuple(map(figure, ours)),
            tuple(map(figure, theirs)),
            target,
            more_is_better,
        )

    rate, wait, fairness = WORKLOADS[workload]
    return [
        measure("acquires", "k/s", lambda run: run.rate / 1e3, rate),
        measure("longest wait", "ms", lambda run: run.longest_wait * 1e3, wait, False),
        measure("fairness", "Jain", lambda run: run.fairness, fairness),
    ]
