"""What it costs threads to wait for each other: so many rounds of an exchange, and their time."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._family import Family
from ._measure import Measure, Target, ratio_at_most


def _together(works: Sequence[Callable[[], None]]) -> float:
    """Seconds in which one thread for each of `works`, all started before, gets it done."""
    ready = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], None]) -> None:
        ready.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def ping_pong(family: Family, rounds: int) -> float:
    """Two threads by turns, each waiting for the other's notification: two a round."""
    condition = family.threading.Condition()
    turn = 0

    def play(own: int) -> None:
        nonlocal turn
        for _ in range(rounds):
            with condition:
                while turn != own:
                    condition.wait()
                turn = 1 - own
                condition.notify()

    return _together([lambda: play(0), lambda: play(1)])


def barrier(family: Family, rounds: int) -> float:
    """Four threads that meet at a barrier, once a round."""
    meeting = family.threading.Barrier(4)

    def meet() -> None:
        for _ in range(rounds):
            meeting.wait()

    return _together([meet] * 4)


def queue(family: Family, rounds: int) -> float:
    """Two threads that put, two that get: two items a round through one unbounded queue."""
    items = family.queue.Queue()

    def put() -> None:
        for _ in range(rounds):
            items.put(None)

    def get() -> None:
        for _ in range(rounds):
            items.get()

    return _together([put, put, get, get])


@dataclass(frozen=True)
class Exchange:
    """Threads that wait for each other, with the target of the time of a round."""

    name: str
    run: Callable[[Family, int], float]
    """Takes the number of rounds, returns the seconds of them all."""
    target: Target


EXCHANGES = (
    Exchange("Condition: ping-pong of 2 threads", ping_pong, ratio_at_most(0.6, 0.7)),
    Exchange("Barrier: 4 threads meet", barrier, ratio_at_most(0.6, 0.7)),
    Exchange("Queue: 2 threads put, 2 threads get", queue, ratio_at_most(0.5, 0.8)),
)


def time_exchange(
    exchange: Exchange, subject: Family, peer: Family, repeats: int, rounds: int
) -> Measure:
    """Microseconds of a round of `exchange`, from `repeats` runs of `rounds` a side, by turns."""
    runs = [
        tuple(exchange.run(family, rounds) / rounds * 1e6 for family in (subject, peer))
        for _ in range(repeats)
    ]
    ours, theirs = zip(*runs, strict=True)
    return Measure(exchange.name, "µs", statistics.median, ours, theirs, exchange.target)
