"""A task that takes a lock again and again, and awaits nothing else, lets those tasks of its loop
have it that wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import golock

PATIENCE = 30
# Longer than a claim lasts: docs/asyncio.md.
BLOCKED = 0.12


@pytest.mark.parametrize(
    "make",
    [golock.Lock, golock.RLock, golock.Semaphore, golock.BoundedSemaphore, golock.Condition],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize("blocked_in", ["nothing", "the lock", "the loop"])
def test_another_task_gets_the_lock(make: Callable[[], Any], blocked_in: str) -> None:
    lock = make()
    got = []

    def block(where: str) -> None:
        if where == blocked_in:
            time.sleep(BLOCKED)

    async def wait() -> None:
        async with lock:
            got.append(True)

    async def hog() -> None:
        end = time.monotonic() + (PATIENCE if blocked_in == "nothing" else 10 * BLOCKED)
        while not got and time.monotonic() < end:
            async with lock:
                block("the lock")
            block("the loop")

    async def main() -> None:
        async with lock:
            waits = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
        await hog()
        assert got
        await waits

    asyncio.run(main())
