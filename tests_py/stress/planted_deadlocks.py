"""Plant deadlocks among parked threads, and measure how soon each is told.

Usage: python tests_py/stress/planted_deadlocks.py [--parked 10000] [--programs 10000] [--seed 0]
           [--library circles.so]

A program is a circle of 2 to 64 threads, each of which holds a Lock or an RLock and waits for the
next one's. Several programs run at once. With the library, which is built from tests_py/go/circles,
some members are goroutines, and so are half of those that are parked. Prints how many were told,
and by how much later than the threshold. Exits with 1 if one was not told, was told twice, or with
other members.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
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
KINDS = (golock.Lock, golock.RLock)
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


def load(library: str) -> ctypes.CDLL:
    """Load the library, and use its core."""
    go = ctypes.CDLL(library)
    go.Core.restype = ctypes.c_size_t
    go.Member.argtypes = [ctypes.c_size_t] * 2
    go.Park.argtypes = [ctypes.c_size_t, ctypes.c_ssize_t]
    golock.use_core(go.Core())
    return go


class Planted:
    """A circle. The first of its locks is a Lock, by whose release another thread ends it.

    The first and the last member are threads. Both locks of a goroutine are shared.
    """

    def __init__(self, chance: random.Random, workers: Workers, go: ctypes.CDLL | None) -> None:
        members = chance.randint(2, MOST_MEMBERS)
        goroutines = {
            index for index in range(1, members - 1) if go is not None and chance.random() < 0.5
        }
        self.locks = []
        for index in range(members):
            shared = index == 0 or goroutines & {index, index - 1}
            self.locks.append(golock.Lock() if shared else chance.choice(KINDS)())
        self._left = members - len(goroutines)
        self._counted = threading.Lock()
        self._proceed = threading.Event()
        self._holding = threading.Semaphore(0)
        self.ended = threading.Event()
        self._shared = contextlib.ExitStack()
        for index in set(range(members)) - goroutines:
            workers.give(lambda index=index: self._take(index))
        for _ in range(self._left):
            self._holding.acquire()
        for index in sorted(goroutines, reverse=True):  # each waits for a lock that is held
            go.Member(self._address(index), self._address(index + 1))
        self._proceed.set()

    def _address(self, index: int) -> int:
        return self._shared.enter_context(golock.shared(self.locks[index]))

    def _take(self, index: int) -> None:
        mine, other = self.locks[index], self.locks[(index + 1) % len(self.locks)]
        mine.acquire()
        self._holding.release()
        self._proceed.wait()
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
        self.ended.wait()
        self._shared.close()


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


class Parked:
    """Threads that wait for a permit, and goroutines that wait for a lock."""

    def __init__(self, count: int, go: ctypes.CDLL | None) -> None:
        goroutines = 0 if go is None else count // 2
        self._go = go
        self._gate, self._lock = golock.Semaphore(0), golock.Lock()
        self._threads = [
            threading.Thread(target=self._gate.acquire, daemon=True)
            for _ in range(count - goroutines)
        ]
        for thread in self._threads:
            thread.start()
        self._lock.acquire()
        self._shared = contextlib.ExitStack()
        if go is not None:
            go.Park(self._shared.enter_context(golock.shared(self._lock)), goroutines)

    def end(self) -> None:
        self._lock.release()
        if self._threads:
            self._gate.release(len(self._threads))
        for thread in self._threads:
            thread.join()
        if self._go is not None:
            self._go.Join()
        self._shared.close()


def plant(
    programs: int,
    parked: int,
    seed: int = 0,
    at_once: int = AT_ONCE,
    go: ctypes.CDLL | None = None,
) -> Outcome:
    chance = random.Random(seed)
    told: queue.SimpleQueue = queue.SimpleQueue()
    sight.start("owners", on_deadlock=told.put, threshold=THRESHOLD)
    sleepers = Parked(parked, go)
    workers = Workers(at_once * MOST_MEMBERS)
    planted: dict[frozenset[int], Planted] = {}
    outcome = Outcome(0, 0, 0, [])
    begun = 0
    while begun < programs or planted:
        while begun < programs and len(planted) < at_once:
            circle = Planted(chance, workers, go)
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
    sight.stop()
    if not outcome.missed:
        sleepers.end()
        workers.end()
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parked", type=int, default=10_000, help="threads that sleep meanwhile")
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", help="built from tests_py/go/circles, for goroutines")
    options = parser.parse_args()
    threading.stack_size(256 * 1024)
    begun = time.monotonic()
    go = load(options.library) if options.library else None
    outcome = plant(options.programs, options.parked, options.seed, options.at_once, go)
    print(f"{outcome}; {time.monotonic() - begun:.0f} s")
    return int(outcome.missed > 0 or outcome.wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
