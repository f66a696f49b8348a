"""A wait at a condition that is closed while others have the lock neither goes on for ever nor
releases their lock."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest

import golock


async def _wait(condition: golock.Condition, enter: Any) -> None:
    async with enter:
        await condition.wait_async()


async def _wait_for(condition: golock.Condition, enter: Any) -> None:
    async with enter:
        await condition.wait_for_async(bool)


@pytest.mark.parametrize("wait", [_wait, _wait_for])
@pytest.mark.parametrize("by_lock", [False, True])
def test_a_closed_coroutine_leaves_the_lock_to_its_holder(by_lock: bool, wait: Any) -> None:
    condition = golock.Condition(golock.Lock())

    async def main() -> None:
        waits = wait(condition, condition._lock if by_lock else condition)
        waits.send(None)
        condition.acquire()
        waits.close()
        assert not condition.acquire(False)
        condition.release()
        await _a_closed_coroutine_releases(condition)

    asyncio.run(main())


async def _a_closed_coroutine_releases(condition: golock.Condition) -> None:
    waits = _wait(condition, condition)
    waits.send(None)
    waits.close()
    assert condition.acquire(False)


def test_a_closed_coroutine_releases_a_free_lock() -> None:
    asyncio.run(_a_closed_coroutine_releases(golock.Condition(golock.Lock())))


def test_a_closed_wait_passes_its_notification_on() -> None:
    condition = golock.Condition(golock.Lock())

    async def main() -> None:
        first = _wait(condition, condition)
        first.send(None)
        second = asyncio.ensure_future(_wait(condition, condition))
        await asyncio.sleep(0)
        with condition:
            condition.notify()
            first.close()
        await second

    asyncio.run(main())


@pytest.mark.parametrize("wait", [_wait, _wait_for])
@pytest.mark.parametrize("order", range(8))
def test_a_loop_is_collected_whose_task_waits_at_a_condition(wait: Any, order: int) -> None:
    condition = golock.Condition(golock.Lock())

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
        task = loop.create_task(wait(condition, condition))
        for _ in range(order):  # mixes the order in which the collector finalizes
            loop.run_until_complete(asyncio.sleep(0))
            gc.collect(order % 3)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task

    abandon()
    with condition:
        gc.collect()
        assert not condition.acquire(False)


def test_a_child_collects_the_loop_of_its_parent() -> None:
    condition = golock.Condition(golock.Lock())
    loop = asyncio.new_event_loop()
    task = loop.create_task(_wait(condition, condition))
    loop.run_until_complete(asyncio.sleep(0))
    with condition:
        child = os.fork()
        if child == 0:
            task.get_coro().close()
            os._exit(condition.acquire(False))
        assert os.waitpid(child, 0)[1] == 0
        condition.notify()
    loop.run_until_complete(task)
    loop.close()
