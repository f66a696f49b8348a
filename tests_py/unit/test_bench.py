"""The benchmark's own arithmetic and output. No test here asserts a time."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import golock
from golock import bench

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Return what the shortest run prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "golock", "bench", "--quick", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_every_measure_is_reported_once(report: dict[str, Any]) -> None:
    expected = [
        *(operation.name for operation in bench.OPERATIONS),
        *(
            f"{workload}: {what}"
            for workload in bench.WORKLOADS
            for what in ("acquires", "longest wait", "fairness")
        ),
        *(operation.name for operation in bench.FAMILY_OPERATIONS),
        *(
            exchange.name + what
            for exchange in bench.EXCHANGES
            for what in ("", *([", processor", ", switches"] if exchange.by_turns else []))
        ),
    ]
    assert [measure["name"] for measure in report["measures"]] == expected


def test_every_class_is_measured_against_a_target(report: dict[str, Any]) -> None:
    classes = {"RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition", "Barrier", "Queue"}
    measured = {
        measure["name"].partition(":")[0]: measure["met"]
        for measure in report["measures"]
        if measure["target"] is not None
    }
    assert {name for name in classes if measured.get(name) is not None} == classes


def test_every_figure_is_a_finite_number_above_zero(report: dict[str, Any]) -> None:
    for measure in report["measures"]:
        figures = [measure["golock"], measure["interpreter"], measure["ratio"]]
        for runs in measure["runs"].values():
            figures += runs
        assert all(math.isfinite(figure) and figure > 0 for figure in figures), measure


def test_fairness_is_within_its_range(report: dict[str, Any]) -> None:
    for measure in report["measures"]:
        if measure["unit"] == "Jain":
            threads = int(measure["name"].split()[0])
            for index in measure["runs"]["golock"] + measure["runs"]["interpreter"]:
                assert 1 / threads <= index <= 1 + 1e-9, measure


def test_the_table_has_a_line_for_every_measure(report: dict[str, Any]) -> None:
    rows = bench.table_rows(report["measures"], targets=True)
    assert [row[0] for row in rows[1:]] == [measure["name"] for measure in report["measures"]]
    assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize(
    ("golock", "more_is_better", "verdict"),
    [
        (50, False, "better"),
        (97, False, "same"),
        (103, False, "same"),
        (110, False, "worse"),
        (50, True, "worse"),
        (103, True, "same"),
        (110, True, "better"),
    ],
)
def test_verdict(golock: float, more_is_better: bool, verdict: str) -> None:
    measure = bench.Measure("m", "", min, (golock,), (100,), None, more_is_better)
    assert measure.verdict == verdict


def test_a_rate_is_better_when_it_is_greater(report: dict[str, Any]) -> None:
    """A longer wait is worse, whatever the unit."""
    for measure in report["measures"]:
        name = measure["name"]
        if abs(measure["ratio"] - 1) > 0.1:
            more = name.endswith((": acquires", ": fairness"))
            assert measure["verdict"] == ("better" if more == (measure["ratio"] > 1) else "worse")


def test_targets_are_printed_on_demand(report: dict[str, Any]) -> None:
    with_targets = bench.table_rows(report["measures"], targets=True)
    assert with_targets[0][-2:] == ("target", "met")
    assert bench.table_rows(report["measures"], targets=False) == [row[:-2] for row in with_targets]


@pytest.mark.parametrize(
    ("counts", "index"),
    [
        ([5], 1),
        ([7, 7, 7, 7], 1),
        ([9, 0, 0, 0], 1 / 4),
        ([1, 1, 0, 0], 1 / 2),
        ([1, 3], 16 / 20),
        ([1, 2, 3], 36 / 42),
    ],
)
def test_jain_on_known_counts(counts: list[int], index: float) -> None:
    assert bench.jain(counts) == pytest.approx(index)


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_jain_of_nothing_has_no_value(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one count"):
        bench.jain(counts)


class Tally:
    """A lock that counts what each thread does with it."""

    def __init__(self, allocate: bench.Allocate = golock.allocate_lock) -> None:
        self.lock = allocate()
        self.acquired: Counter[int] = Counter()
        self.released = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = self.lock.acquire(blocking, timeout)
        self.acquired[threading.get_ident()] += 1
        return got

    def release(self) -> None:
        self.released += 1
        self.lock.release()

    def locked(self) -> bool:
        return self.lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.mark.parametrize("workload", [bench.Workload(1, 0, 0), bench.Workload(4, 5, 5)], ids=str)
def test_the_counts_add_up(workload: bench.Workload) -> None:
    made: list[Tally] = []

    def allocate() -> Tally:
        made.append(Tally())
        return made[-1]

    run = bench.contend(allocate, workload, 0.05)
    (tally,) = made
    assert len(run.counts) == workload.threads
    assert sorted(count for count in run.counts if count) == sorted(tally.acquired.values())
    assert sum(run.counts) == tally.acquired.total() == tally.released
    assert run.rate * run.seconds == pytest.approx(sum(run.counts))
    assert not tally.lock.locked()


@pytest.mark.parametrize(
    "allocate", [golock.allocate_lock, bench.interpreter_family().allocate_lock]
)
def test_the_longest_wait_is_that_of_the_slowest_acquire(allocate: bench.Allocate) -> None:
    slow = 0.05

    class SlowOnce(Tally):
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if not self.acquired:
                time.sleep(slow)
            return super().acquire(blocking, timeout)

    started = time.perf_counter()
    run = bench.contend(lambda: SlowOnce(allocate), bench.Workload(2, 5, 5), 0.05)
    assert slow <= run.longest_wait <= time.perf_counter() - started


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (bench.Target("ratio", "<=", 0.5), True),
        (bench.Target("ratio", "<=", 0.4), False),
        (bench.Target("ratio", ">=", 0.6), False),
        (bench.Target("golock", "<=", 2), True),
        (bench.Target("golock", ">=", 1.5), True),
        (None, None),
    ],
)
def test_a_target_judges_the_ratio_or_the_figure(
    target: bench.Target | None, met: bool | None
) -> None:
    measure = bench.Measure("m", "ns", min, (3.0, 2.0), (4.0, 5.0), target)
    assert measure.ratio == 2 / 4
    assert measure.met is met


THEIRS = bench.interpreter_family()


class TenTimes:
    """Makes each call ten times, on a primitive that allows it."""

    def __init__(self, primitive: Any) -> None:
        self.primitive = primitive

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.primitive, name)

        def call(*arguments: Any) -> Any:
            for _ in range(10):
                result = method(*arguments)
            return result

        return call

    def __enter__(self) -> Any:
        return self.__getattr__("__enter__")()

    def __exit__(self, *exception: object) -> Any:
        return self.__getattr__("__exit__")(*exception)


def module_of(**names: object) -> ModuleType:
    module = ModuleType("made for a test")
    vars(module).update(names)
    return module


@pytest.mark.parametrize("operation", bench.FAMILY_OPERATIONS, ids=lambda operation: operation.name)
def test_calls_that_do_their_work_ten_times_are_seen_as_slow(operation: bench.Operation) -> None:
    theirs = THEIRS.threading
    slow = {
        "threading": module_of(
            RLock=lambda: TenTimes(theirs.RLock()),
            Semaphore=lambda: TenTimes(theirs.Semaphore(10)),
            BoundedSemaphore=lambda: TenTimes(theirs.BoundedSemaphore(10)),
            Event=lambda: TenTimes(theirs.Event()),
            Condition=lambda: TenTimes(theirs.Condition()),
        ),
        "queue": module_of(Queue=lambda: TenTimes(THEIRS.queue.Queue())),
    }
    measure = bench.time_operation(operation, slow, vars(THEIRS), 5, 0.005)
    assert measure.ratio > 2
    assert not measure.met


@pytest.mark.parametrize("exchange", bench.EXCHANGES, ids=lambda exchange: exchange.name)
def test_an_exchange_that_dawdles_is_seen_as_slow(exchange: bench.Exchange) -> None:
    def dawdling(kind: str, method: str) -> type:
        base = getattr(THEIRS.threading, kind)

        def slow(self: Any, *arguments: Any) -> Any:
            time.sleep(0.05)
            return getattr(base, method)(self, *arguments)

        return type(kind, (base,), {method: slow})

    class Lock(Tally):
        def release(self) -> None:
            time.sleep(0.05)
            super().release()

    calls = {
        "Condition": "notify",
        "Barrier": "wait",
        "Semaphore": "release",
        "Event": "set",
    }
    threading = module_of(
        Lock=THEIRS.threading.Lock,
        **{kind: dawdling(kind, method) for kind, method in calls.items()},
    )
    slow = bench.Family(Lock, threading, bench.queue_over(threading), bench.futures_over(threading))
    # On a busy machine the interpreter's own may dawdle as long.
    measures = (
        bench.time_exchange(exchange, slow, THEIRS, repeats=3, rounds=5)[0] for _ in range(5)
    )
    assert any(measure.ratio > 2 and not measure.met for measure in measures)


def test_an_exchange_that_works_hard_is_seen_to() -> None:
    (exchange,) = (each for each in bench.EXCHANGES if each.name == "Lock: ping-pong")

    class Lock(Tally):
        def release(self) -> None:
            until = time.thread_time() + 0.005
            while time.thread_time() < until:
                pass
            super().release()

    slow = bench.Family(Lock, THEIRS.threading, THEIRS.queue, THEIRS.futures)
    _, processor, switches = bench.time_exchange(exchange, slow, THEIRS, repeats=3, rounds=20)
    assert processor.ratio > 2
    assert not processor.met
    assert all(each >= 1 for each in switches.golock)


@pytest.mark.parametrize("install", ["", "golock.install()"], ids=["as it is", "installed"])
def test_each_family_is_its_own_whatever_is_installed(
    install: str, python: Callable[..., Any], check: Callable[..., None]
) -> None:
    result = python(
        f"""
        import golock
        {install}
        from golock import bench

        for family in bench.golock_family(), bench.interpreter_family():
            made = family.allocate_lock(), family.threading.RLock(), family.queue.Queue().not_empty
            print(*(type(each) in vars(golock).values() for each in made))
        """
    )
    check(result, "True True True\nFalse False False\n")


def test_the_interpreters_family_counts_no_threads() -> None:
    before = threading.enumerate()
    THEIRS.threading.Event().set()
    assert set(threading.enumerate()) <= set(before)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SystemExit) as refusal:
        bench.main(["--fast"])
    assert refusal.value.code == 2
