"""What ``acquire_async``, ``wait_async`` and ``wait_for_async`` return."""

from __future__ import annotations

import asyncio
import gc
import weakref
from decimal import Decimal
from typing import Any

import pytest

import golock
from event_loops import run


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
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_a_predicate_that_is_true_needs_no_loop() -> None:
    with pytest.raises(StopIteration, match="yes"):
        golock.Condition(golock.Lock()).wait_for_async(lambda: "yes").send(None)
