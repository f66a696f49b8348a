"""golock.sight at the level ``order``: locks taken in contradictory orders are told."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import golock
from go_tool import GO, needs_go
from golock import sight
from golock.sight import OrderCycle
from order_model import Model
from waiting import join, start, wait_until

Lock = Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def _order() -> Iterator[None]:
    sight.start("order", on_deadlock=None)
    yield
    sight.stop()


@pytest.fixture
def _installed() -> Iterator[None]:
    golock.install()
    yield
    golock.uninstall()


def told() -> tuple[OrderCycle, ...]:
    return sight.snapshot().order


def lines(cycle: OrderCycle) -> list[tuple[int, int]]:
    """Return the locks of each edge, as addresses."""
    return [(edge.first_id, edge.second_id) for edge in cycle.edges]


def in_thread(target: Callable[..., object], *args: object) -> None:
    join([start(target, *args)])


def nested(*locks: Lock) -> None:
    for lock in locks:
        lock.acquire()
    for lock in reversed(locks):
        lock.release()


def lock_made_in(line: int, kind: str = "Lock") -> Lock:
    """Make a lock whose place is this line of a file."""
    return eval(compile("\n" * (line - 1) + f"golock.{kind}()", "places", "eval"))


def several(count: int) -> list[Lock]:
    """Make locks in one place."""
    return [golock.Lock() for _ in range(count)]


def distinct(count: int, kind: str = "Lock") -> list[Lock]:
    return [lock_made_in(line, kind) for line in range(1, count + 1)]


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_contradiction_of_two_threads_in_sequence(kind: str) -> None:
    first, second = distinct(2, kind)
    in_thread(nested, first, second)
    assert told() == ()
    in_thread(nested, second, first)
    (cycle,) = told()
    assert sorted(lines(cycle)) == sorted([(id(first), id(second)), (id(second), id(first))])


def test_contradiction_of_one_thread() -> None:
    first, second = distinct(2)
    nested(first, second)
    nested(second, first)
    assert len(told()) == 1


def test_consistent_order_is_not_told() -> None:
    locks = distinct(4)
    for _ in range(3):
        in_thread(nested, *locks)
        nested(locks[0], locks[2])
        nested(locks[1], locks[3])
    assert told() == ()


@pytest.mark.parametrize("count", [3, 10, 64])
def test_circle_of_many_locks(count: int) -> None:
    locks = distinct(count)
    for first, second in itertools.pairwise(locks):
        nested(first, second)
    assert told() == ()
    nested(locks[-1], locks[0])
    (cycle,) = told()
    assert len(cycle.edges) == count
    for edge, following in zip(cycle.edges, [*cycle.edges[1:], cycle.edges[0]], strict=True):
        assert edge.second_id == following.first_id


def test_circle_is_told_once() -> None:
    first, second = distinct(2)
    for _ in range(3):
        nested(first, second)
        in_thread(nested, second, first)
    assert len(told()) == 1


def test_two_circles_are_told() -> None:
    one, two, three, four = distinct(4)
    nested(one, two)
    nested(three, four)
    nested(two, one)
    nested(four, three)
    assert [len(cycle.edges) for cycle in told()] == [2, 2]


def test_order_among_locks_of_one_place() -> None:
    locks = several(5)
    for _ in range(2):
        nested(*locks)
        nested(locks[1], locks[3])
    assert told() == ()
    nested(locks[3], locks[1])
    (cycle,) = told()
    assert {lock for edge in lines(cycle) for lock in edge} == {id(locks[1]), id(locks[3])}


def test_locks_made_by_the_function_rlock_have_several_places() -> None:
    """It calls what golock puts there; a lock is made where the function is called."""
    golock.install()
    try:
        first = threading.RLock()
        second = threading.RLock()
    finally:
        golock.uninstall()
    nested(first, second)
    nested(second, first)
    (cycle,) = told()
    for edge in cycle.edges:
        assert edge.first != edge.second
        assert Path(__file__).name in edge.first


class Account:
    """Makes a queue in its constructor."""

    def __init__(self) -> None:
        self.queue = queue.Queue[int]()


def in_contradictory_orders(first: queue.Queue[int], second: queue.Queue[int]) -> None:
    lock = golock.Lock()
    nested(first.mutex, lock)
    nested(lock, second.mutex)


@pytest.mark.usefixtures("_installed")
def test_locks_of_the_library_are_told_apart_by_their_makers() -> None:
    """queue.py makes the lock of each queue in one line, but only its users say which are alike."""
    in_contradictory_orders(
        queue.Queue(),
        queue.Queue(),
    )
    first = Account()
    second = Account()
    in_contradictory_orders(first.queue, second.queue)
    assert told() == ()


@pytest.mark.usefixtures("_installed")
def test_locks_of_the_library_with_one_maker_are_alike() -> None:
    in_contradictory_orders(*(queue.Queue[int]() for _ in range(2)))
    first, second = (Account() for _ in range(2))
    in_contradictory_orders(first.queue, second.queue)
    assert len(told()) == 2


@dataclass
class Books:
    """Has a generated constructor, which makes the locks."""

    first: Lock = field(default_factory=golock.Lock)
    second: Lock = field(default_factory=golock.Lock)


def test_locks_of_a_dataclass_are_told_apart_by_their_fields() -> None:
    some, others = (Books() for _ in range(2))
    nested(some.first, some.second)
    assert told() == ()
    nested(others.second, others.first)
    (cycle,) = told()
    assert all(Path(__file__).name in edge.first for edge in cycle.edges)


def test_names_move_no_cursor(python: Any) -> None:
    result = python(
        """
        import golock
        from golock import sight
        sight.start("order")
        first, second = golock.Lock(), golock.Lock()
        sight.name(first, "a\\x1b[2J\\nb")
        with first, second: pass
        with second, first: pass
        """
    )
    assert "MainThread took a?[2J?b:" in result.stderr.splitlines()


def test_philosophers() -> None:
    forks = several(5)
    for i in range(5):
        in_thread(nested, forks[i], forks[(i + 1) % 5])
    (cycle,) = told()
    assert len(cycle.edges) == 5


def test_locks_of_the_same_places_are_alike() -> None:
    """The places contradict each other, though no two locks do."""
    first, second = lock_made_in(1), lock_made_in(2)
    nested(first, second)
    other_first, other_second = lock_made_in(1), lock_made_in(2)
    nested(other_second, other_first)
    (cycle,) = told()
    assert sorted(lines(cycle)) == sorted(
        [(id(first), id(second)), (id(other_second), id(other_first))]
    )


def test_gate() -> None:
    gate, first, second = distinct(3)
    nested(gate, first, second)
    nested(gate, second, first)
    assert told() == ()
    nested(first, second)  # which another thread may wait for under the gate
    assert len(told()) == 1


def test_gate_of_another_name_is_none() -> None:
    gate, other, first, second = distinct(4)
    nested(gate, first, second)
    nested(other, second, first)
    assert len(told()) == 1


def test_try_adds_no_edge_to_its_lock() -> None:
    first, second = distinct(2)
    nested(first, second)
    with second:
        assert first.acquire(blocking=False)
        first.release()
        assert first.acquire(timeout=0)
        first.release()
    assert told() == ()


def test_lock_taken_by_a_try_is_held() -> None:
    first, second = distinct(2)
    nested(first, second)
    assert second.acquire(blocking=False)
    nested(first)
    second.release()
    assert len(told()) == 1


def test_acquire_with_a_timeout_counts_also_when_it_fails() -> None:
    first, second = distinct(2)
    nested(first, second)
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with first:
            held.set()
            done.wait()

    thread = start(hold)
    held.wait()
    with second:
        assert not first.acquire(timeout=0.001)
    done.set()
    join([thread])
    assert len(told()) == 1


def test_rlock_taken_again() -> None:
    first, second = distinct(2, "RLock")
    with first, second, first:
        pass
    assert told() == ()
    with second, first:
        pass
    assert len(told()) == 1


def test_released_in_any_order() -> None:
    first, second, third = distinct(3)
    first.acquire()
    second.acquire(blocking=False)
    first.release()
    third.acquire()  # under the second alone
    second.release()
    third.release()
    nested(third, first)
    assert told() == ()
    nested(third, second)
    (cycle,) = told()
    assert {lock for edge in lines(cycle) for lock in edge} == {id(second), id(third)}


def test_lock_released_by_another_thread_is_not_held() -> None:
    signal_, first = distinct(2)
    nested(first, signal_)
    signal_.acquire()
    in_thread(signal_.release)
    nested(first)
    assert told() == ()


def test_lock_that_serves_as_a_signal_has_no_order() -> None:
    signal_, first = distinct(2)
    signal_.acquire()
    in_thread(signal_.release)
    nested(signal_, first)
    nested(first, signal_)
    assert told() == ()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_condition_takes_its_lock_again(kind: str) -> None:
    outer = lock_made_in(1)
    condition = golock.Condition(lock_made_in(2, kind))
    with outer, condition:
        condition.wait(0.001)
    assert told() == ()
    with condition:
        outer.acquire()
        condition.wait(0.001)  # takes the condition's lock while it holds the other
        outer.release()
    (cycle,) = told()
    assert len(cycle.edges) == 2


def test_condition_releases_its_lock_while_it_waits() -> None:
    condition, other = golock.Condition(), lock_made_in(1)
    waiting = threading.Event()

    def wait() -> None:
        with condition:
            waiting.set()
            assert condition.wait(30)

    thread = start(wait)
    waiting.wait()
    with condition:
        condition.notify()
    join([thread])
    with other:
        pass
    assert told() == ()


def test_semaphores_and_events_are_not_locks() -> None:
    lock, semaphore, event = golock.Lock(), golock.Semaphore(), golock.Event()
    event.set()
    with semaphore, lock:
        event.wait()
    with lock, semaphore:
        event.wait()
    assert told() == ()


def test_lock_at_the_address_of_another() -> None:
    """In one place: the new lock is another one, so its order is its own."""
    locks = (golock.Lock() for _ in range(100_000))
    keep = next(locks)
    addresses = set()
    for lock in locks:
        again = id(lock) in addresses
        addresses.add(id(lock))
        if again:
            nested(lock, keep)
            break
        nested(keep, lock)
        del lock
    assert again
    assert told() == ()


def test_circle_through_a_lock_that_is_gone() -> None:
    first, second, third = several(3)
    nested(first, second)
    nested(second, third)
    del second
    nested(third, first)
    assert told() == ()


def test_lock_that_dies_while_it_is_held() -> None:
    lock, first = distinct(2)
    nested(first, lock)
    lock.acquire()
    del lock
    gc.collect()
    other = lock_made_in(1)
    nested(first, other)
    assert told() == ()


def test_held_when_the_level_is_set() -> None:
    first, second = distinct(2)
    nested(first, second)
    sight.stop()
    second.acquire()
    sight.start("order", on_deadlock=None)
    nested(first)
    second.release()
    nested(first, second)
    assert told() == ()


def test_held_while_the_level_is_set_anew() -> None:
    first, second = distinct(2)
    first.acquire()
    sight.stop()
    sight.start("order", on_deadlock=None)
    nested(second)
    first.release()
    nested(second, first)
    assert told() == ()


def test_held_while_the_level_is_lower() -> None:
    first, second, third = distinct(3)
    first.acquire()
    sight.start("owners", on_deadlock=None)
    first.release()
    second.acquire()
    sight.start("order", on_deadlock=None)
    nested(third)
    second.release()
    nested(third, first)
    nested(third, second)
    assert told() == ()


def test_start_forgets() -> None:
    first, second = distinct(2)
    nested(first, second)
    nested(second, first)
    assert len(told()) == 1
    sight.stop()
    sight.start("order", on_deadlock=None)
    assert told() == ()
    nested(first, second)
    assert told() == ()
    nested(second, first)
    assert len(told()) == 1


def test_stacks() -> None:
    accounts = golock.Lock()
    journal = golock.Lock()
    sight.name(journal, "journal")

    def take_both() -> None:
        accounts.acquire()
        take_second()
        accounts.release()

    def take_second() -> None:
        with journal:
            pass

    def contradict() -> None:
        with journal, accounts:
            pass

    thread = threading.Thread(target=take_both, name="clerk")
    thread.start()
    join([thread])
    contradict()
    (cycle,) = told()
    edges = {edge.thread.name: edge for edge in cycle.edges}
    assert set(edges) == {"clerk", "MainThread"}

    def place(function: Callable[..., object], line: int) -> tuple[str, int]:
        return function.__qualname__, function.__code__.co_firstlineno + line

    def functions(stack: Any) -> list[tuple[str, int]]:
        return [(frame.function, frame.line) for frame in stack]

    def expected(*places: tuple[str, int]) -> list[tuple[str, int]]:
        if sys.version_info >= (3, 11):
            return list(places)
        return [(name.rpartition(".")[2], line) for name, line in places]

    clerk = edges["clerk"]
    assert (clerk.first_id, clerk.second_id) == (id(accounts), id(journal))
    assert clerk.second == "journal"
    assert functions(clerk.first_at)[-1:] == expected(place(take_both, 1))
    assert clerk.first_at[0].function.endswith("_bootstrap")
    assert functions(clerk.second_at)[-2:] == expected(place(take_both, 2), place(take_second, 1))
    main = edges["MainThread"]
    assert functions(main.first_at)[-1:] == expected(place(contradict, 1))
    assert functions(main.second_at)[-2:] == [
        functions(main.first_at)[-2],
        *expected(place(contradict, 1)),
    ]


def test_stack_of_a_function_that_has_returned() -> None:
    first, second = distinct(2)

    def take(lock: Lock) -> None:
        lock.acquire()

    def take_both(one: Lock, two: Lock) -> None:
        take(one)
        take(two)
        one.release()
        two.release()

    take_both(first, second)
    take_both(second, first)
    (cycle,) = told()
    for edge in cycle.edges:
        assert [frame.line for frame in edge.first_at] == [take.__code__.co_firstlineno + 1]
        assert edge.second_at[-2].line == take_both.__code__.co_firstlineno + 2


def test_more_locks_than_a_thread_can_have() -> None:
    locks = distinct(100)
    nested(*locks)
    nested(locks[99], locks[98])  # were beyond the limit
    assert told() == ()
    assert sight.snapshot().dropped.order > 0
    nested(locks[1], locks[0])
    assert len(told()) == 1


def test_consistent_order_of_many_threads() -> None:
    locks = [*distinct(5), *several(5)]
    stop = threading.Event()
    done = [0] * 8

    def work(index: int) -> None:
        chosen = random.Random(index)
        while not stop.is_set():
            nested(*[locks[i] for i in sorted(chosen.sample(range(10), 3))])
            done[index] += 1

    threads = [start(work, index) for index in range(8)]
    wait_until(lambda: min(done) > 200, "every thread has taken locks")
    stop.set()
    join(threads)
    assert told() == ()


def test_contradictions_of_many_threads_are_told_once() -> None:
    locks = distinct(4)
    barrier = threading.Barrier(8)

    def work(index: int) -> None:
        barrier.wait()
        for _ in range(200):
            for first, second in [(0, 1), (1, 0), (2, 3), (3, 2)]:
                with locks[first]:
                    if locks[second].acquire(timeout=0.0001):
                        locks[second].release()

    join([start(work, index) for index in range(8)])
    cycles = [frozenset(lines(cycle)) for cycle in told()]
    assert len(cycles) == len(set(cycles)) == 2


def test_fork() -> None:
    first, second, third = distinct(3)
    nested(first, second)
    first.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        nested(third)  # under the first, which the child has too
        first.release()
        nested(second, first)
        nested(third, first)
        os.write(writing, str(len(told())).encode())
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"2"
    os.close(reading)
    assert os.waitpid(child, 0) == (child, 0)
    first.release()
    assert told() == ()


def test_signal_handler_takes_locks() -> None:
    first, second = distinct(2)
    nested(second, first)
    before = signal.signal(signal.SIGUSR1, lambda *_: nested(second))
    try:
        with first:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(told()) == 1


TOLD = """
import threading
import golock, golock.sight
golock.sight.start("order"{arguments})
first = golock.Lock()
second = golock.Lock()
def one():
    with first:
        with second:
            pass
def other():
    with second:
        with first:
            pass
one()
thread = threading.Thread(target=other, name="other")
thread.start()
thread.join()
"""


@pytest.mark.parametrize("arguments", ["", ", on_deadlock='raise'"])
def test_told_on_standard_error(
    python: Callable[..., subprocess.CompletedProcess[str]], arguments: str
) -> None:
    result = python(TOLD.format(arguments=arguments))
    assert result.returncode == 0
    text = re.sub(r"  File .*threading.py.*\n", "", result.stderr)
    assert text.splitlines() == [
        "golock.sight: Possible deadlock: 2 locks are taken in contradictory orders:",
        "other took Lock <string>:6 (<module>):",
        '  File "<string>", line 12, in other',
        "and then Lock <string>:5 (<module>):",
        '  File "<string>", line 13, in other',
        "MainThread took Lock <string>:5 (<module>):",
        '  File "<string>", line 15, in <module>',
        '  File "<string>", line 8, in one',
        "and then Lock <string>:6 (<module>):",
        '  File "<string>", line 15, in <module>',
        '  File "<string>", line 9, in one',
    ]


def test_not_told_with_none(
    python: Callable[..., subprocess.CompletedProcess[str]], check: Callable[..., None]
) -> None:
    check(python(TOLD.format(arguments=", on_deadlock=None")), "")


def contradict() -> None:
    first, second = distinct(2)
    nested(first, second)
    nested(second, first)


def test_told_to_a_function() -> None:
    found: list[object] = []
    sight.start("order", on_deadlock=found.append)
    contradict()
    wait_until(lambda: found, "the function is called")
    (cycle,) = found
    assert isinstance(cycle, OrderCycle)
    assert cycle == told()[0]


def test_told_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    sight.start("order", on_deadlock=logging.getLogger("test"))
    contradict()
    wait_until(lambda: caplog.records, "there is a message")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == str(told()[0])


@pytest.mark.parametrize("make", [distinct, several])
def test_text_is_that_of_the_model(
    make: Callable[[int], list[Lock]], capfd: pytest.CaptureFixture[str]
) -> None:
    sight.start("order")
    first, second = make(2)
    nested(first, second)
    nested(second, first)
    lines = str(told()[0]).splitlines()
    without_source = [line for line in lines if not line.startswith("    ")]
    assert capfd.readouterr().err == "golock.sight: " + "\n".join(without_source) + "\n"


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, list[tuple[str, int]]]]]:
    """Draw the places of some locks, and what threads do, one after the other."""
    count = draw(st.integers(2, 6))
    places = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    names = st.sampled_from(["acquire", "acquire", "try", "release", "replace"])
    steps = st.lists(st.tuples(names, st.integers(0, count - 1)), min_size=2, max_size=12)
    return places, draw(st.lists(st.tuples(st.integers(0, 1), steps), max_size=8))


class Program:
    """Runs a random program, and the model beside it."""

    def __init__(self, places: list[int]) -> None:
        self.places = places
        self.locks = [lock_made_in(place) for place in places]
        self.numbers = list(range(len(places)))
        self.model = Model()
        self.count = 0

    def key(self, index: int) -> tuple[int, int]:
        return self.numbers[index], self.places[index]

    def run(self, steps: list[tuple[str, int]]) -> None:
        held: list[int] = []
        for name, index in steps:
            if name == "release":
                if index in held:
                    held.remove(index)
                    self.locks[index].release()
            elif index in held:
                pass
            elif name == "replace":
                self.model.remove(self.numbers[index])
                self.locks[index] = None
                self.locks[index] = lock_made_in(self.places[index])
                self.numbers[index] = max(self.numbers) + 1
            else:
                self.locks[index].acquire(blocking=name == "acquire")
                if name == "acquire":
                    self.check(held, index)
                held.append(index)
        for index in held:
            self.locks[index].release()

    def check(self, held: list[int], index: int) -> None:
        cycles = told()
        keys = {id(lock): self.key(i) for i, lock in enumerate(self.locks)}
        for candidates in self.model.add([self.key(i) for i in held], self.key(index)):
            if candidates:
                assert len(cycles) > self.count, f"not told of one of {candidates}"
                edges = cycles[self.count].edges
                circle = tuple(
                    self.model.nodes(
                        (keys.get(edge.first_id, (0, 0))[0], place_of(edge.first)),
                        (keys.get(edge.second_id, (0, 0))[0], place_of(edge.second)),
                    )
                    for edge in edges
                )
                assert circle in candidates
                self.model.told.add(frozenset(circle))
                self.count += 1
        assert len(cycles) == self.count, f"told of {cycles[self.count :]}"


def place_of(name: str) -> int:
    found = re.fullmatch(r"Lock places:(\d+) \(<module>\)", name)
    assert found, name
    return int(found[1])


@settings(max_examples=150)
@given(programs())
def test_random_programs_agree_with_the_model(
    program: tuple[list[int], list[tuple[int, list[tuple[str, int]]]]],
) -> None:
    places, parts = program
    sight.stop()
    sight.start("order", on_deadlock=None)
    running = Program(places)
    for thread, steps in parts:
        failures: list[BaseException] = []

        def run(steps: list[tuple[str, int]] = steps, to: Any = failures) -> None:
            try:
                running.run(steps)
            except BaseException as failure:
                to.append(failure)

        if thread:
            in_thread(run)
        else:
            run()
        if failures:
            raise failures[0]


AUDITOR = """
import ctypes, sys, time
import golock, golock.sight

auditor = ctypes.CDLL(sys.argv[1])
auditor.Core.restype = ctypes.c_size_t
auditor.Audit.argtypes = [ctypes.c_size_t] * 3
golock.use_core(auditor.Core())
golock.sight.start("order", on_deadlock=None)
first = golock.Lock()
second = golock.Lock()
with second, first:
    pass
proceed = golock.Event()
with golock.shared(first) as a, golock.shared(second) as b, golock.shared(proceed) as c:
    assert auditor.Audit(a, b, c)  # a goroutine takes the first, and then the second
    proceed.set()
    while not golock.sight.snapshot().order:
        time.sleep(0.001)
    while first.locked():
        time.sleep(0.001)
(cycle,) = golock.sight.snapshot().order
for edge in cycle.edges:
    place = edge.second_at[-1].file.rpartition("/")[2]
    print(edge.thread.kind, edge.first_id == id(first), place)
"""


@pytest.mark.slow
@needs_go
def test_goroutine(
    python: Callable[..., subprocess.CompletedProcess[str]],
    check: Callable[..., None],
    tmp_path: Path,
) -> None:
    built = tmp_path / "auditor.so"
    command = [GO, "build", "-buildmode=c-shared", "-o", str(built), "./deadlock"]
    subprocess.run(command, cwd=EXAMPLES, check=True)
    result = python(AUDITOR, str(built))
    check(result, "goroutine True auditor.go\nPython False <string>\n")


REAL = """
import io, logging, logging.handlers, queue, sys, threading, urllib.request
import golock, golock.sight
golock.install()
golock.sight.start("order")
import concurrent.futures, http.server

log = logging.getLogger("test")
log.setLevel(logging.INFO)
messages = queue.Queue()
log.addHandler(logging.handlers.QueueHandler(messages))
listener = logging.handlers.QueueListener(messages, logging.StreamHandler(io.StringIO()))
listener.start()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        log.info("request %s", self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args):
        log.info("%s", args)

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"

    def get(number):
        log.info("get %d", number)
        with urllib.request.urlopen(url + str(number)) as reply:
            return reply.read()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(get, number) for number in range(50)]
        for future in concurrent.futures.as_completed(futures):
            assert future.result() == b"hello"
        assert set(pool.map(get, range(100))) == {b"hello"}
        done, _ = concurrent.futures.wait([pool.submit(get, 1)])
        assert len(done) == 1

    work = queue.PriorityQueue(10)
    def consume():
        while work.get() < 1000:
            work.task_done()
        work.task_done()
    consumers = [threading.Thread(target=consume) for _ in range(4)]
    for consumer in consumers:
        consumer.start()
    for number in range(500):
        work.put(number)
    for _ in consumers:
        work.put(1000)
    work.join()
    for consumer in consumers:
        consumer.join()
    server.shutdown()
    thread.join()
listener.stop()
assert isinstance(messages.mutex, golock.Lock if isinstance(golock.Lock, type) else golock.LockType)
snapshot = golock.sight.snapshot()
for cycle in snapshot.order:
    print(cycle)
print(len(snapshot.order), snapshot.dropped.order)
"""


@pytest.mark.slow
def test_real_programs_have_no_warning(
    python: Callable[..., subprocess.CompletedProcess[str]], check: Callable[..., None]
) -> None:
    check(python(REAL), "0 0\n")
