"""A coroutine that a callback of the loop runs, and no task, waits for its condition's lock again.
It went round without an end when anyio was imported, whose cancel scopes are for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio  # noqa: F401
import pytest

import golock


async def _wait(condition: golock.Condition) -> None:
    async with condition:
        await condition.wait_async()


@pytest.mark.timeout(60)
def test_a_wait_that_no_task_runs() -> None:
    async def main() -> None:
        condition = golock.Condition(golock.Lock())
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        suspended = []

        def run(coroutine: Coroutine[Any, Any, None]) -> None:
            try:
                future = coroutine.send(None)
            except StopIteration:
                ended.set_result(None)
                return
            suspended.append(future)
            future._asyncio_future_blocking = False
            future.add_done_callback(lambda _: run(coroutine))

        loop.call_soon(run, _wait(condition))
        while len(suspended) < 1:
            await asyncio.sleep(0)
        condition.acquire()
        condition.notify()
        while len(suspended) < 2:  # it waits for the lock now
            await asyncio.sleep(0)
        condition.release()
        await ended
        assert condition.acquire(False)

    asyncio.run(main())
