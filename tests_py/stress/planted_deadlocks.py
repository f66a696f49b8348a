"""Plant deadlocks among parked threads, and measure how soon each is told.

Usage: python tests_py/stress/planted_deadlocks.py [--parked 10000] [--programs 10000] [--seed 0]

A program is a circle of 2 to 64 threads, each of which holds a Lock or an RLock and waits for the
next one's. Several programs run at once. Prints how many were told, and by how much later than the
threshold. Exits with 1 if one was not told, was told twice, or with other members.
"""

from __future__ import annotations

import argparse
import queue
import random
import statistics
import sys
import threading
import time
from dataclasses import dataclass

import golock
from golock import sight

THRESHOLD = 0.1
AT_ONCE = 8
MOST_MEMBERS = 64


class Workers:
    """Threads that do what they are given."""

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def give(self, task) -> None:
        self._tasks.put(task)

    def end(self) -> None:
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()


class Planted:
    """A circle. The first of its locks is a Lock, by whose release another thread ends it."""

    def __init__(self, chance: random.Random, workers: Workers) -> None:
        members = chance.randint(2, MOST_MEMBERS)
        self.locks = [golock.Lock()]
        self.locks += [chance.choice((golock.Lock, golock.RLock))() for _ in range(members - 1)]
        self._all = threading.Barrier(members)
        self._left = members
        self._counted = threading.Lock()
        self.ended = threading.Event()
        for index in range(members):
            workers.give(lambda index=index: self._take(index))

    def _take(self, index: int) -> None:
        mine, other = self.locks[index], self.locks[(index + 1) % len(self.locks)]
        mine.acquire()
        self._all.wait()
        other.acquire()
        other.release()
        if index > 0:
            mine.release()
        with self._counted:
            self._left -= 1
            last = self._left == 0
        if last:
            self.ended.set()

    @property
    def key(self) -> frozenset[int]:
        return frozenset(map(id, self.locks))

    def end(self) -> None:
        self.locks[0].release()


@dataclass
class Outcome:
    told: int
    missed: int
    wrong: int
    """How many were told that were not planted, or twice, or are not certain."""
    late: list[float]
    """By how many seconds later than the threshold each was told."""

    def __str__(self) -> str:
        late = sorted(self.late)
        return (
            f"{self.told} told, {self.missed} missed, {self.wrong} wrong; later than the threshold "
            f"by {1000 * statistics.median(late):.1f} ms in the median, "
            f"{1000 * late[int(len(late) * 0.99)]:.1f} ms at the 99th percentile, "
            f"{1000 * late[-1]:.1f} ms at most"
        )


def plant(programs: int, parked: int, seed: int = 0, at_once: int = AT_ONCE) -> Outcome:
    chance = random.Random(seed)
    told: queue.SimpleQueue = queue.SimpleQueue()
    sight.start("owners", on_deadlock=told.put, threshold=THRESHOLD)
    gate = golock.Semaphore(0)
    sleepers = [threading.Thread(target=gate.acquire, daemon=True) for _ in range(parked)]
    for thread in sleepers:
        thread.start()
    workers = Workers(at_once * MOST_MEMBERS)
    planted: dict[frozenset[int], Planted] = {}
    outcome = Outcome(0, 0, 0, [])
    begun = 0
    while begun < programs or planted:
        while begun < programs and len(planted) < at_once:
            circle = Planted(chance, workers)
            planted[circle.key] = circle
            begun += 1
        try:
            deadlock = told.get(timeout=30)
        except queue.Empty:
            outcome.missed += len(planted)
            break
        circle = planted.pop(frozenset(wait.lock.id for wait in deadlock.waits), None)
        if circle is None or not deadlock.certain or len(deadlock.waits) != len(circle.locks):
            outcome.wrong += 1
            continue
        outcome.told += 1
        outcome.late.append(min(wait.seconds for wait in deadlock.waits) - THRESHOLD)
        circle.end()
        circle.ended.wait()
    sight.stop()
    gate.release(max(parked, 1))
    if not outcome.missed:
        workers.end()
        for thread in sleepers:
            thread.join()
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parked", type=int, default=10_000, help="threads that sleep meanwhile")
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    threading.stack_size(256 * 1024)
    begun = time.monotonic()
    outcome = plant(options.programs, options.parked, options.seed, options.at_once)
    print(f"{outcome}; {time.monotonic() - begun:.0f} s")
    return int(outcome.missed > 0 or outcome.wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
