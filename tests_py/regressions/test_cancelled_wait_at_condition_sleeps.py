"""A wait at a condition that anyio has cancelled sleeps until it gets the lock."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

import golock

TURNS = 100


class _Loop(asyncio.SelectorEventLoop):
    futures = 0

    def create_future(self) -> asyncio.Future[Any]:
        self.futures += 1
        return super().create_future()


def test_a_cancelled_wait_sleeps_until_it_gets_the_lock() -> None:
    loop = _Loop()

    async def main() -> None:
        condition = golock.Condition(golock.Lock())

        async def wait() -> None:
            async with condition:
                await condition.wait_async()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await asyncio.sleep(0)
            with condition, anyio.CancelScope(shield=True):
                group.cancel_scope.cancel()
                loop.futures = 0
                for _ in range(TURNS):
                    await asyncio.sleep(0)
        assert loop.futures < TURNS / 10

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
