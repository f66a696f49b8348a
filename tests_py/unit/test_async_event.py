"""``await event.wait_async()``."""

from __future__ import annotations

import threading

import anyio
import pytest

import golock
from event_loops import each_loop, run

TIMEOUT = 30


@each_loop
def test_an_event_that_is_set(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        event.set()
        assert await event.wait_async() is True
        assert await event.wait_async(timeout=0) is True

    run(loop, main)


@each_loop
def test_a_wait_ends_at_its_timeout(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        for timeout in (0, -1, 0.001, 0.01):
            assert await event.wait_async(timeout) is False
        with pytest.raises(ValueError, match="NaN"):
            event.wait_async(float("nan"))

    run(loop, main)


@each_loop
def test_a_thread_sets_it(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        results: list[bool] = []

        async def wait() -> None:
            results.append(await event.wait_async(timeout=TIMEOUT))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            thread = threading.Thread(target=event.set)
            thread.start()
        thread.join(TIMEOUT)
        assert results == [True] * 5

    run(loop, main)


@each_loop
def test_a_set_counts_though_it_is_cleared_at_once(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(event.wait_async)
            await anyio.wait_all_tasks_blocked()
            event.set()
            event.clear()
        assert not event.is_set()
        assert await event.wait_async(timeout=0.001) is False

    run(loop, main)


@each_loop
def test_a_task_sets_it_for_tasks_and_threads(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        done: list[bool] = []
        thread = threading.Thread(target=lambda: done.append(event.wait(TIMEOUT)))
        thread.start()

        async def wait() -> None:
            done.append(await event.wait_async())

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            event.set()
        thread.join(TIMEOUT)
        assert done == [True, True]

    run(loop, main)


@each_loop
def test_cancelled_waits_leave_nothing(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        for _ in range(100):
            with anyio.move_on_after(0):
                await event.wait_async()
        event.set()
        assert await event.wait_async()

    run(loop, main)


@each_loop
def test_an_event_whose_internals_are_used_refuses(loop: str) -> None:
    async def main() -> None:
        event = golock.Event()
        raised: list[str] = []

        async def wait() -> None:
            try:
                await event.wait_async()
            except RuntimeError as error:
                raised.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            event._cond  # opens it
        assert "internals" in raised[0]
        with pytest.raises(RuntimeError, match="internals"):
            await event.wait_async()

    run(loop, main)
