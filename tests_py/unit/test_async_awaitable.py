"""What ``acquire_async``, ``wait_async`` and ``wait_for_async`` return."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import warnings
import weakref
from decimal import Decimal
from typing import Any

import anyio
import pytest

import golock
from event_loops import each_loop, run, until


class Semaphore(golock.Semaphore):
    wait: Any


class Event(golock.Event):
    wait_: Any


def test_a_second_task_cannot_await_it() -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        wait = lock.acquire_async()

        async def first() -> bool:
            return await wait

        task = asyncio.ensure_future(first())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already awaited"):
            await wait
        lock.release()
        assert await task is True

    run("asyncio", main)


def test_what_is_thrown_into_it() -> None:
    for thrown in (KeyError, KeyError("reason")):
        with pytest.raises(KeyError):
            golock.Lock().acquire_async().throw(thrown)
    with pytest.raises(TypeError, match="deriving from BaseException, not int"):
        golock.Lock().acquire_async().throw(1)


@pytest.mark.parametrize("timeout", [Decimal("0.001"), 0.001, 0])
def test_a_timeout_is_what_float_takes(timeout: Any) -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        assert await lock.acquire_async(timeout) is False

    run("asyncio", main)


def test_a_cycle_through_it_is_collected() -> None:
    semaphore, event = Semaphore(), Event()
    semaphore.wait, event.wait_ = semaphore.acquire_async(), event.wait_async()
    alive = [weakref.ref(semaphore), weakref.ref(event)]
    del semaphore, event
    with pytest.warns(RuntimeWarning, match="never awaited"):
        gc.collect()
    assert [each() for each in alive] == [None, None]


def test_a_predicate_that_is_true_needs_no_loop() -> None:
    with pytest.raises(StopIteration, match="yes"):
        golock.Condition(golock.Lock()).wait_for_async(lambda: "yes").send(None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (golock.Lock().acquire_async, "Lock.acquire_async"),
        (golock.RLock().acquire_async, "RLock.acquire_async"),
        (golock.Semaphore().acquire_async, "Semaphore.acquire_async"),
        (golock.Event().wait_async, "Event.wait_async"),
        (golock.Condition().wait_async, "Condition.wait_async"),
    ],
)
def test_its_name(make: Any, name: str) -> None:
    wait = make()
    assert wait.__qualname__ == name
    assert wait.__name__ == name.split(".")[1]
    assert repr(wait).startswith(f"<awaitable {name} at 0x")
    wait.close()


def test_it_counts_as_a_coroutine() -> None:
    wait = golock.Lock().acquire_async()
    assert inspect.isawaitable(wait)
    assert asyncio.iscoroutine(wait)
    assert isinstance(wait, collections.abc.Coroutine)
    assert wait.cr_await is wait.cr_code is wait.cr_frame is None
    assert wait.cr_running is False
    wait.close()


def test_asyncio_runs_it_as_a_task_and_shows_it() -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        task = asyncio.create_task(lock.acquire_async())
        await asyncio.sleep(0)
        assert "coro=<Lock.acquire_async() running at" in repr(task)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait"]
        assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
        lock.release()
        assert await task is True
        assert "coro=<Lock.acquire_async() done" in repr(task)
        assert await asyncio.gather(lock.acquire_async(0), lock.acquire_async(0.001)) == [False] * 2
        lock.release()
        assert await asyncio.shield(lock.acquire_async()) is True

    asyncio.run(main(), debug=True)


@each_loop
def test_a_task_group_runs_it(loop: str) -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        async with anyio.create_task_group() as group:
            group.start_soon(lock.acquire_async)
            await anyio.sleep(0)
            lock.release()
        assert lock.locked()
        async with anyio.create_task_group() as group:
            group.start_soon(lock.acquire_async)
            await anyio.sleep(0)
            group.cancel_scope.cancel()
        lock.release()
        await until(lambda: not lock.locked())

    run(loop, main)


def test_a_forgotten_await_warns() -> None:
    lock = golock.Lock()
    with pytest.warns(RuntimeWarning, match="'Lock.acquire_async' was never awaited"):
        lock.acquire_async()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError):
            lock.acquire_async("soon")  # type: ignore[arg-type]
        lock.acquire_async().close()
