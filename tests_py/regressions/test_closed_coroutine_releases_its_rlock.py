"""A coroutine that is closed outside its task releases its RLock without `async with` too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import golock

each_kind = pytest.mark.parametrize(
    "make", [golock.RLock, golock.Condition], ids=lambda make: make.__name__
)


async def _hold(lock: Any) -> None:
    await lock.acquire_async()
    try:
        with lock:
            await asyncio.get_running_loop().create_future()
    finally:
        lock.release()


async def _wait(condition: golock.Condition) -> None:
    await condition.acquire_async()
    try:
        await condition.wait_async()
    finally:
        condition.release()


def _is_free(lock: Any) -> bool:
    taken = []

    def take() -> None:
        taken.append(lock.acquire(False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return bool(taken[0])


def _suspended(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[None]:
    task = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    return task


def _end(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


@each_kind
def test_what_it_has(make: Callable[[], Any]) -> None:
    lock = make()
    loop = asyncio.new_event_loop()
    task = _suspended(loop, _hold(lock))
    assert not _is_free(lock)
    task.get_coro().close()
    assert _is_free(lock)
    _end(loop, task)


@each_kind
def test_nothing_but_what_it_has(make: Callable[[], Any]) -> None:
    lock = make()
    loop = asyncio.new_event_loop()
    task = _suspended(loop, _hold(lock))
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()
    try:
        raise KeyError
    except KeyError:
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()
    assert not _is_free(lock)
    task.get_coro().close()
    _end(loop, task)


def test_a_wait_takes_the_free_lock_again_and_releases_it() -> None:
    condition = golock.Condition()
    loop = asyncio.new_event_loop()
    task = _suspended(loop, _wait(condition))
    task.get_coro().close()
    assert _is_free(condition)
    _end(loop, task)


def test_a_wait_forgoes_the_lock_that_another_task_has() -> None:
    condition = golock.Condition()
    loop = asyncio.new_event_loop()
    task = _suspended(loop, _wait(condition))
    holds = _suspended(loop, _hold(condition))
    task.get_coro().close()
    assert not _is_free(condition)
    holds.get_coro().close()
    assert _is_free(condition)
    holds.cancel()
    loop.run_until_complete(asyncio.wait([holds]))
    _end(loop, task)
