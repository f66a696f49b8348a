"""Loops, threads and what else the caller starts contend for one lock; tasks are cancelled."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

LOOPS = THREADS = 4
LIVE = 10  # tasks of a loop at a time


class Contest:
    """Counts, guarded by the lock, what threads and tasks have counted themselves."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.count = 0
        self.expected = self.cancelled = 0
        self._totals = threading.Lock()
        self._over = threading.Event()

    def _total(self, expected: int, cancelled: int = 0) -> None:
        with self._totals:
            self.expected += expected
            self.cancelled += cancelled

    def _thread(self) -> None:
        taken = 0
        chance = random.Random()
        while not self._over.is_set():
            if chance.random() < 0.3:
                if not self.lock.acquire(timeout=0.0005):
                    continue
            else:
                self.lock.acquire()
            before = self.count
            if taken % 50 == 0:
                self._over.wait(0)  # releases the GIL
            self.count = before + 1
            self.lock.release()
            taken += 1
            if taken % 20 == 0:
                self._over.wait(0.0002)
        self._total(taken)

    async def _task(self, chance: random.Random, taken: list[None]) -> None:
        timeout = 0.0005 if chance.random() < 0.2 else None
        if not await self.lock.acquire_async(timeout):
            return
        taken.append(None)
        before = self.count
        try:
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        finally:
            self.count = before + 1
            self.lock.release()

    async def _loop(self, cancellations: int, chance: random.Random) -> None:
        taken: list[None] = []
        tasks: set[asyncio.Task[None]] = set()
        cancelled = 0
        while cancelled < cancellations:
            while len(tasks) < LIVE:
                tasks.add(asyncio.create_task(self._task(chance, taken)))
            for task in list(tasks):
                if task.done():
                    tasks.discard(task)
                elif chance.random() < 0.5:
                    task.cancel()
                    cancelled += 1
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._total(len(taken), cancelled)

    def run(self, cancellations: int) -> None:
        """Run the threads and the loops until tasks have been cancelled that many times."""

        def loop(seed: int) -> None:
            asyncio.run(self._loop(cancellations // LOOPS, random.Random(seed)))

        threads = [threading.Thread(target=self._thread) for _ in range(THREADS)]
        loops = [threading.Thread(target=loop, args=(seed,)) for seed in range(LOOPS)]
        for thread in threads + loops:
            thread.start()
        for thread in loops:
            thread.join()
        self._over.set()
        for thread in threads:
            thread.join()
