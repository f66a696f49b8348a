"""golock's primitives in event loops, beside asyncio's own, aiologic's and janus's.

All are measured in turn in one process. A ratio is golock's time divided by that of a peer in the
same turn, and the median of the turns counts. The ratio of the least times is that of a quiet
moment: a wake between two loops needs a processor that is free.
"""

from __future__ import annotations

import asyncio
import operator
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiologic  # type: ignore[import-not-found, unused-ignore]
import janus  # type: ignore[import-not-found, unused-ignore]

import golock
import results

Measure = Callable[[], Awaitable[float]]


def uncontended(make: Callable[[], Any], rounds: int = 3_000) -> Measure:
    async def measure() -> float:
        lock = make()
        began = time.perf_counter()
        for _ in range(rounds):
            async with lock:
                pass
        return (time.perf_counter() - began) / rounds

    return measure


def contended(make: Callable[[], Any], tasks: int = 10, rounds: int = 50) -> Measure:
    """Time an acquire of tasks of one loop, each of which yields while it has the lock."""

    async def measure() -> float:
        lock = make()

        async def work() -> None:
            for _ in range(rounds):
                async with lock:
                    await asyncio.sleep(0)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(tasks)))
        return (time.perf_counter() - began) / rounds / tasks

    return measure


class Futures:
    """What a program writes by hand: a future that another loop sets by call_soon_threadsafe."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._future: asyncio.Future[None] | None = None
        self._set = False

    async def acquire(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self._set:
            self._future = self._loop.create_future()
            await self._future
            self._future = None
        self._set = False

    def release(self) -> None:
        while self._loop is None:
            time.sleep(0)
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._set = True
        if self._future is not None:
            self._future.set_result(None)


class Golock:
    def __init__(self) -> None:
        self.semaphore = golock.Semaphore(0)
        self.acquire = self.semaphore.acquire_async
        self.release = self.semaphore.release


class Aiologic:
    def __init__(self) -> None:
        self.semaphore = aiologic.Semaphore(0)
        self.acquire = self.semaphore.async_acquire
        self.release = self.semaphore.async_release


class Janus:
    """Of two loops: the queue's asynchronous side belongs to the loop that gets."""

    def __init__(self) -> None:
        self._queue: janus.Queue[None] | None = None

    async def acquire(self) -> None:
        if self._queue is None:
            self._queue = janus.Queue()
        await self._queue.async_q.get()

    def release(self) -> None:
        while self._queue is None:
            time.sleep(0)
        self._queue.sync_q.put(None)


def between_loops(make: Callable[[], Any], rounds: int = 200) -> Measure:
    """Time a wake from one loop to another, half a round between two."""

    async def measure() -> float:
        ping, pong = make(), make()

        async def other() -> None:
            for _ in range(rounds):
                await ping.acquire()
                pong.release()

        thread = threading.Thread(target=lambda: asyncio.run(other()))
        thread.start()
        began = time.perf_counter()
        for _ in range(rounds):
            ping.release()
            await pong.acquire()
        took = time.perf_counter() - began
        while thread.is_alive():
            await asyncio.sleep(0)
        return took / rounds / 2

    return measure


TABLE: dict[str, dict[str, Measure]] = {
    "an uncontended `async with lock:`": {
        "golock": uncontended(golock.Lock),
        "asyncio.Lock": uncontended(asyncio.Lock),
        "aiologic.Lock": uncontended(aiologic.Lock),
    },
    "an uncontended `async with condition:`": {
        "golock": uncontended(golock.Condition),
        "asyncio.Condition": uncontended(asyncio.Condition),
    },
    "10 tasks of one loop that fight for a lock": {
        "golock": contended(golock.Lock),
        "asyncio.Lock": contended(asyncio.Lock),
        "aiologic.Lock": contended(aiologic.Lock),
    },
    "a wake between two loops": {
        "golock": between_loops(Golock),
        "`call_soon_threadsafe`": between_loops(Futures),
        "aiologic.Semaphore": between_loops(Aiologic),
        "janus.Queue": between_loops(Janus),
    },
}


def main() -> None:
    fast = results.parse_fast(__doc__)
    turns = 3 if fast else 101
    figures = {}
    for what, sides in TABLE.items():
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(turns):
            for side, measure in sides.items():
                taken[side].append(asyncio.run(measure()))  # type: ignore[arg-type]
        own = taken.pop("golock")
        figures[what] = {
            "golock_us": statistics.median(own) * 1e6,
            "ratios": {
                side: statistics.median(map(operator.truediv, own, of_peer))
                for side, of_peer in taken.items()
            },
            "least_us": min(own) * 1e6,
            "least_ratios": {side: min(own) / min(of_peer) for side, of_peer in taken.items()},
        }
    results.save("loops", {"turns": turns, "measures": figures}, fast=fast)


if __name__ == "__main__":
    main()
