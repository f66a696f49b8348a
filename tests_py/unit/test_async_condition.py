"""``async with condition``, ``await condition.wait_async()``, ``wait_for_async``."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

import golock
from event_loops import each_loop, run, until

TIMEOUT = 30


def new() -> golock.Condition:
    return golock.Condition(golock.Lock())


def test_the_lock_must_be_held() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="un-acquired"):
            await new().wait_async()

    run("asyncio", main)


@each_loop
def test_a_notification(loop: str) -> None:
    async def main() -> None:
        condition = new()
        results: list[bool] = []

        async def wait() -> None:
            async with condition:
                results.append(await condition.wait_async())
                assert not condition._lock.acquire(False)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            async with condition:
                condition.notify()
            await until(lambda: len(results) == 1)
            async with condition:
                condition.notify_all()
        assert results == [True] * 3

    run(loop, main)


@each_loop
@pytest.mark.parametrize("make", [new, golock.Condition], ids=["Lock", "RLock"])
def test_a_thread_notifies_and_is_notified(loop: str, make: Callable[[], golock.Condition]) -> None:
    async def main() -> None:
        condition = make()
        turn = "task"

        def thread_may_go() -> bool:
            return turn == "thread"

        def task_may_go() -> bool:
            return turn == "task"

        def thread() -> None:
            nonlocal turn
            with condition:
                for _ in range(20):
                    condition.wait_for(thread_may_go, TIMEOUT)
                    turn = "task"
                    condition.notify()

        other = threading.Thread(target=thread)
        other.start()
        async with condition:
            for _ in range(20):
                assert await condition.wait_for_async(task_may_go, TIMEOUT)
                turn = "thread"
                condition.notify()
        await until(lambda: not other.is_alive())
        assert turn == "task"

    run(loop, main)


@each_loop
def test_a_wait_ends_at_its_timeout_with_the_lock(loop: str) -> None:
    async def main() -> None:
        condition = new()
        async with condition:
            for timeout in (0, -1, 0.01):
                assert await condition.wait_async(timeout) is False
                assert not condition._lock.acquire(False)
            assert await condition.wait_for_async(lambda: 0, 0.01) == 0
            assert await condition.wait_for_async(lambda: "yes") == "yes"

    run(loop, main)


@each_loop
def test_a_cancelled_wait_has_the_lock_again(loop: str) -> None:
    async def main() -> None:
        condition = new()
        held: list[bool] = []

        async def wait() -> None:
            async with condition:
                try:
                    await condition.wait_async()
                finally:
                    held.append(not condition._lock.acquire(False))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            async with condition:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                assert not held  # it waits for the lock, cancelled or not
        assert held == [True]
        assert condition._lock.acquire(False)

    run(loop, main)


@each_loop
def test_a_notification_of_a_cancelled_task_goes_to_the_next(loop: str) -> None:
    async def main() -> None:
        condition = new()
        notified: list[str] = []

        async def wait(name: str, scope: anyio.CancelScope) -> None:
            with scope:
                async with condition:
                    await condition.wait_async()
                    notified.append(name)

        first, second = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "first", first)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(wait, "second", second)
            await anyio.wait_all_tasks_blocked()
            async with condition:
                condition.notify()
                first.cancel()
        assert notified[-1] == "second"

    run(loop, main)


@each_loop
def test_a_condition_that_is_opened_wakes_its_tasks(loop: str) -> None:
    async def main() -> None:
        condition = new()
        done: list[bool] = []

        async def wait() -> None:
            async with condition._lock:
                done.append(await condition.wait_async())

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            condition.__dict__  # opens it
        assert done == [True]
        assert len(condition._waiters) == 0
        with pytest.raises(RuntimeError, match="internals"):
            condition.wait_async()

    run(loop, main)
