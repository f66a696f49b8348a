"""A wait at a condition that is closed in `with condition` leaves nothing to an `async with`."""

from __future__ import annotations

import asyncio
import threading

import pytest

import golock


async def _wait(condition: golock.Condition) -> None:
    with condition:
        await condition.wait_async()


async def _hold(condition: golock.Condition) -> None:
    async with condition:
        await asyncio.get_running_loop().create_future()


def test_a_closed_coroutine_releases_what_it_has() -> None:
    condition = golock.Condition()
    loop = asyncio.new_event_loop()
    waits = loop.create_task(_wait(condition))
    loop.run_until_complete(asyncio.sleep(0))

    taken, release = threading.Event(), threading.Event()

    def take() -> None:
        with condition:
            taken.set()
            release.wait()

    thread = threading.Thread(target=take)
    thread.start()
    taken.wait()
    with pytest.raises(RuntimeError, match="un-acquired"):
        waits.get_coro().close()
    release.set()
    thread.join()

    holds = loop.create_task(_hold(condition))
    loop.run_until_complete(asyncio.sleep(0))
    holds.get_coro().close()
    assert condition.acquire(False)
    for each in (waits, holds):
        each.cancel()
    loop.run_until_complete(asyncio.wait([waits, holds]))
    loop.close()
