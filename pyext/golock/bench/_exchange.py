"""The cost of threads that wait for each other, in rounds of an exchange."""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ._family import Family
from ._measure import Measure, Target, ratio_at_most


@dataclass(frozen=True)
class Cost:
    """The cost of the rounds of an exchange."""

    seconds: float
    processor: float
    """Processor time of the whole process, in seconds."""
    switches: int
    """Context switches of the whole process, voluntary or not."""


def _used() -> tuple[float, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw


def _together(works: Sequence[Callable[[], None]]) -> Cost:
    """Run a thread for each of `works`; return their cost from a common start to the end."""
    ready = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], None]) -> None:
        ready.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    ready.wait()
    started, (processor, switches) = time.perf_counter(), _used()
    for thread in threads:
        thread.join()
    seconds, (after, switched) = time.perf_counter() - started, _used()
    return Cost(seconds, after - processor, switched - switches)


def _pass_on(first: Any, second: Any, rounds: int) -> Cost:
    def play(wait: Callable[[], object], pass_on: Callable[[], object]) -> None:
        for _ in range(rounds):
            wait()
            pass_on()

    return _together(
        [
            lambda: play(first.acquire, second.release),
            lambda: play(second.acquire, first.release),
        ]
    )


def lock(family: Family, rounds: int) -> Cost:
    """Two threads by turns, each releases the lock that the other waits for: two a round."""
    first, second = family.allocate_lock(), family.allocate_lock()
    second.acquire()
    return _pass_on(first, second, rounds)


def semaphore(family: Family, rounds: int) -> Cost:
    """Two threads by turns, each releases the permit that the other waits for: two a round."""
    return _pass_on(family.threading.Semaphore(1), family.threading.Semaphore(0), rounds)


def event(family: Family, rounds: int) -> Cost:
    """Two threads by turns, each sets the event that the other waits for: two a round."""
    events = family.threading.Event(), family.threading.Event()
    events[0].set()

    def play(own: int) -> None:
        for _ in range(rounds):
            events[own].wait()
            events[own].clear()
            events[1 - own].set()

    return _together([lambda: play(0), lambda: play(1)])


def condition(family: Family, rounds: int) -> Cost:
    """Two threads by turns, each notifies the other, which waits: two a round."""
    turns = family.threading.Condition()
    turn = 0

    def play(own: int) -> None:
        nonlocal turn
        for _ in range(rounds):
            with turns:
                while turn != own:
                    turns.wait()
                turn = 1 - own
                turns.notify()

    return _together([lambda: play(0), lambda: play(1)])


def barrier(family: Family, rounds: int) -> Cost:
    """Four threads that meet at a barrier, once a round."""
    meeting = family.threading.Barrier(4)

    def meet() -> None:
        for _ in range(rounds):
            meeting.wait()

    return _together([meet] * 4)


def _queue(family: Family, rounds: int, pairs: int) -> Cost:
    items = family.queue.Queue()

    def put() -> None:
        for _ in range(rounds):
            items.put(None)

    def get() -> None:
        for _ in range(rounds):
            items.get()

    return _together([put, get] * pairs)


def queue(family: Family, rounds: int) -> Cost:
    """One thread puts, one gets: an item a round through an unbounded queue."""
    return _queue(family, rounds, 1)


def queue_of_four(family: Family, rounds: int) -> Cost:
    """Two threads put, two get: two items a round through one unbounded queue."""
    return _queue(family, rounds, 2)


def executor(family: Family, rounds: int) -> Cost:
    """One thread submits a call to four workers and waits for its result, once a round."""
    with family.futures.ThreadPoolExecutor(4) as pool:
        works = [pool.submit(time.sleep, 0.001) for _ in range(4)]
        for work in works:
            work.result()

        def submit() -> None:
            for _ in range(rounds):
                pool.submit(int).result()

        return _together([submit])


@dataclass(frozen=True)
class Exchange:
    """Threads that wait for each other, and the target for the time of a round."""

    name: str
    run: Callable[[Family, int], Cost]
    """Takes the number of rounds and returns the cost of them all."""
    target: Target
    by_turns: bool = False
    """Whether each round puts a thread to sleep; then processor time and switches count too."""


EXCHANGES = (
    Exchange("Lock: ping-pong", lock, ratio_at_most(1, 1, 0.25), by_turns=True),
    Exchange("Semaphore: ping-pong", semaphore, ratio_at_most(0.6, 0.8, 0.2), by_turns=True),
    Exchange("Condition: ping-pong", condition, ratio_at_most(0.6, 0.7, 0.3), by_turns=True),
    Exchange("Event: ping-pong", event, ratio_at_most(0.45, 0.6, 0.05), by_turns=True),
    Exchange("Barrier: 4 threads meet", barrier, ratio_at_most(0.6, 0.7, 0.7)),
    Exchange("Queue: 1 thread puts, 1 gets", queue, ratio_at_most(0.4, 0.4, 0.3)),
    Exchange("Queue: 2 threads put, 2 get", queue_of_four, ratio_at_most(0.4, 0.4, 0.3)),
    Exchange(
        "ThreadPoolExecutor: submit(f).result()",
        executor,
        ratio_at_most(0.7, 0.7, 0.7),
        by_turns=True,
    ),
)

_NOT_MORE = Target("ratio", "<=", 1)


def time_exchange(
    exchange: Exchange, subject: Family, peer: Family, repeats: int, rounds: int
) -> list[Measure]:
    """Measure a round of `exchange` in `repeats` runs of `rounds` for each side, by turns.

    Returns the time in microseconds and, if the exchange is by turns, processor time in
    microseconds and context switches.
    """
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(repeats):
        ours.append(exchange.run(subject, rounds))
        theirs.append(exchange.run(peer, rounds))

    def measure(name: str, unit: str, figure: Callable[[Cost], float], target: Target) -> Measure:
        runs = tuple(map(figure, ours)), tuple(map(figure, theirs))
        return Measure(exchange.name + name, unit, statistics.median, *runs, target)

    measures = [measure("", "µs", lambda cost: cost.seconds / rounds * 1e6, exchange.target)]
    if exchange.by_turns:
        measures += [
            measure(", processor", "µs", lambda cost: cost.processor / rounds * 1e6, _NOT_MORE),
            measure(", switches", "", lambda cost: cost.switches / rounds, _NOT_MORE),
        ]
    return measures
