"""golock's lock beside the running interpreter's own: ``python -m golock bench``.

Both locks are measured in one process and by turns, several times over, so that
whatever else the machine does falls on both. Of the time of a single call the minimum
counts, for other work can only add to it. Of a contended run the median counts: there
other work can help as well as hurt, since a preempted thread breaks up the convoy in
which CPython's lock before 3.13.1 keeps its threads.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import re
import statistics
import sys
import sysconfig
import threading
import time
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast

import golock

from . import _interpreter


class Lock(Protocol):
    """What ``_thread.lock`` and golock's lock have in common."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


Allocate = Callable[[], Lock]


def interpreter_allocate_lock() -> Allocate:
    """Return the interpreter's own ``_thread.allocate_lock``, even while golock is installed."""
    return cast(Allocate, _interpreter.thread().allocate_lock)


def jain(counts: Sequence[float]) -> float:
    """Jain's fairness index of what each thread got: 1 if all got the same, 1/n if one got all.

    From R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination for
    Resource Allocation in Shared Computer Systems", DEC-TR-301, 1984. Raises ValueError when
    nobody got anything, for then the index has no value.
    """
    squares = sum(count * count for count in counts)
    if not squares:
        raise ValueError("the fairness index needs at least one count above zero")
    return sum(counts) ** 2 / (len(counts) * squares)


@dataclass(frozen=True)
class Workload:
    """Threads that share one lock, and the empty loop steps of each with and without it."""

    threads: int
    inside: int
    outside: int

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.inside}/{self.outside}"


@dataclass(frozen=True)
class Contention:
    """What one run of a `Workload` gave."""

    counts: tuple[int, ...]
    """Acquires of each thread."""
    seconds: float
    """From the start signal to the stop flag."""
    longest_wait: float
    """Seconds from the call of ``acquire`` to its return, the longest of all."""

    @property
    def rate(self) -> float:
        """Acquires a second, all threads together."""
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


@dataclass(frozen=True)
class Target:
    """A bound on golock's figure, or on its ratio to the interpreter's."""

    of: str
    """``"ratio"``, or ``"golock"`` for golock's figure in the measure's own unit."""
    bound: str
    """``"<="`` or ``">="``."""
    limit: float


def _ratio(bound: str, limit: float) -> Target:
    return Target("ratio", bound, limit)


def _golock(bound: str, limit: float) -> Target:
    return Target("golock", bound, limit)


# The interpreter's lock is a different and much faster one from 3.13.1 on.
FASTER_INTERPRETER = sys.version_info >= (3, 13, 1)


@dataclass(frozen=True)
class Operation:
    """A statement timed on a free ``lock`` or on ``allocate_lock``, with its target."""

    name: str
    statement: str
    target: Target


OPERATIONS = (
    Operation(
        "acquire(); release()",
        "lock.acquire(); lock.release()",
        _ratio("<=", 0.85 if FASTER_INTERPRETER else 0.35),
    ),
    Operation(
        "with lock:",
        "with lock: pass",
        _ratio("<=", 0.80 if FASTER_INTERPRETER else 0.65),
    ),
    Operation(
        "acquire(False); release()",
        "lock.acquire(False); lock.release()",
        _ratio("<=", 0.8 if FASTER_INTERPRETER else 0.30),
    ),
    Operation(
        "acquire(timeout=1); release()",
        "lock.acquire(timeout=1); lock.release()",
        _ratio("<=", 0.5 if FASTER_INTERPRETER else 0.25),
    ),
    Operation(
        "allocate_lock()",
        "allocate_lock()",
        _ratio("<=", 0.9 if FASTER_INTERPRETER else 0.8),
    ),
)

_FAIR = _golock(">=", 0.9)

# The targets of each workload: acquires a second, longest wait in ms, fairness.
WORKLOADS: dict[Workload, tuple[Target | None, Target | None, Target | None]] = (
    {
        Workload(2, 0, 0): (_ratio(">=", 0.9), _ratio("<=", 1), None),
        Workload(8, 20, 20): (_ratio(">=", 1.1), _ratio("<=", 0.7), None),
        Workload(8, 200, 20): (None, None, None),
        Workload(32, 20, 20): (_ratio(">=", 1.1), _ratio("<=", 0.8), _FAIR),
    }
    if FASTER_INTERPRETER
    else {
        Workload(2, 0, 0): (_ratio(">=", 4), _golock("<=", 12), None),
        Workload(8, 20, 20): (_ratio(">=", 5.5), _golock("<=", 40), None),
        Workload(8, 200, 20): (None, None, None),
        Workload(32, 20, 20): (_ratio(">=", 5), _golock("<=", 60), _FAIR),
    }
)

_BOUNDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Measure:
    """One line of the table: all runs of both locks, and what counts of them."""

    name: str
    unit: str
    summary: Callable[[Iterable[float]], float]
    """What counts of the runs: `min` or `statistics.median`."""
    golock: tuple[float, ...]
    interpreter: tuple[float, ...]
    target: Target | None

    @property
    def ratio(self) -> float:
        """The figure of golock by that of the interpreter."""
        return self.summary(self.golock) / self.summary(self.interpreter)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.of == "ratio" else self.summary(self.golock)
        return _BOUNDS[self.target.bound](figure, self.target.limit)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        target = self.target
        return {
            "name": self.name,
            "unit": self.unit,
            "golock": self.summary(self.golock),
            "interpreter": self.summary(self.interpreter),
            "ratio": self.ratio,
            "target": None if target is None else vars(target),
            "met": self.met,
            "summary": self.summary.__name__,
            "runs": {"golock": self.golock, "interpreter": self.interpreter},
        }


_UNROLL = 10  # statements in one turn of the timed loop, so that the loop itself hardly counts


def time_operation(
    operation: Operation, other: Callable[[], object], repeats: int, budget: float
) -> Measure:
    """Nanoseconds of `operation` on golock's lock and on what `other` makes, by turns.

    From `repeats` runs of about `budget` seconds each.
    """
    timers = [
        timeit.Timer(
            "\n".join([operation.statement] * _UNROLL),
            "allocate_lock = make; lock = make()",
            globals={"make": allocate},
        )
        for allocate in (golock.allocate_lock, other)
    ]
    probe = 1000
    slowest = max(min(timer.timeit(probe) for _ in range(3)) for timer in timers)
    turns = max(1, int(probe * budget / slowest))
    runs = [
        tuple(timer.timeit(turns) / (turns * _UNROLL) * 1e9 for timer in timers)
        for _ in range(repeats)
    ]
    ours, theirs = zip(*runs, strict=True)
    return Measure(operation.name, "ns", min, ours, theirs, operation.target)


def measure_contention(
    workload: Workload, original: Allocate, repeats: int, seconds: float
) -> list[Measure]:
    """Acquires a second, longest wait and fairness, from `repeats` runs of `seconds` a lock."""
    ours: list[Contention] = []
    theirs: list[Contention] = []
    for _ in range(repeats):
        ours.append(contend(golock.allocate_lock, workload, seconds))
        theirs.append(contend(original, workload, seconds))

    def measure(
        name: str, unit: str, figure: Callable[[Contention], float], target: Target | None
    ) -> Measure:
        return Measure(
            f"{workload}: {name}",
            unit,
            statistics.median,
            tuple(map(figure, ours)),
            tuple(map(figure, theirs)),
            target,
        )

    rate, wait, fairness = WORKLOADS[workload]
    return [
        measure("acquires", "k/s", lambda run: run.rate / 1e3, rate),
        measure("longest wait", "ms", lambda run: run.longest_wait * 1e3, wait),
        measure("fairness", "Jain", lambda run: run.fairness, fairness),
    ]


def measure_all(*, quick: bool = False) -> list[Measure]:
    """Every measure, in the order of the table: about a minute, `quick` ten seconds."""
    original = interpreter_allocate_lock()
    repeats, budget = (5, 0.01) if quick else (20, 0.05)
    measures = [time_operation(operation, original, repeats, budget) for operation in OPERATIONS]
    repeats, seconds = (3, 0.3) if quick else (5, 1.0)
    for workload in WORKLOADS:
        measures += measure_contention(workload, original, repeats, seconds)
    return measures


def describe_machine() -> dict[str, Any]:
    """Name what the figures are measured on: interpreter, system, processor, load.

    The version of a free-threaded interpreter ends in "t".
    """
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
    model = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version() + ("t" if free_threaded else ""),
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": model[1] if model else platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _number(value: float) -> str:
    """Three significant digits, and all those before the point."""
    return f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"


def table_rows(measures: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Lay out measures, as ``--json`` gives them, in cells; the heading comes first."""
    rows: list[tuple[str, ...]] = [
        ("measure", "unit", "golock", "interpreter", "ratio", "target", "met")
    ]
    for measure in measures:
        target = measure["target"]
        wanted = ""
        if target is not None:
            what = "ratio " if target["of"] == "ratio" else ""
            unit = f" {measure['unit']}" if target["of"] == "golock" else ""
            wanted = f"{what}{target['bound']} {target['limit']:g}{unit}"
        rows.append(
            (
                measure["name"],
                measure["unit"],
                _number(measure["golock"]),
                _number(measure["interpreter"]),
                f"{measure['ratio']:.2f}",
                wanted,
                {True: "yes", False: "no", None: ""}[measure["met"]],
            )
        )
    return rows


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, "<<>>><<", widths, strict=True)
        print("  ".join(f"{cell:{align}{width}}" for cell, align, width in cells).rstrip())


def main(argv: list[str]) -> int:
    """Measure, and print a table or JSON. The exit status does not depend on the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m golock bench",
        description="Measure golock's lock beside the interpreter's own, in one process, by turns.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every run in it")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    options = parser.parse_args(argv)

    machine = describe_machine()
    measures = [measure.as_json() for measure in measure_all(quick=options.quick)]
    if options.json:
        print(json.dumps({"machine": machine, "quick": options.quick, "measures": measures}))
        return 0
    print(
        "{implementation} {python}, {system}, {processor}, {cpus} CPUs, load {load:.2f}\n"
        "n threads, a/b: a empty loop steps with the lock held, b without\n".format(**machine)
    )
    _print_table(table_rows(measures))
    return 0
