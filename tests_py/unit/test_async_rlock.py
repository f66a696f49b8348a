"""``async with rlock``, ``await rlock.acquire_async()``; a condition over an RLock."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import golock
from event_loops import each_loop, run, until

TIMEOUT = 30


each_kind = pytest.mark.parametrize(
    "make", [golock.RLock, golock.Condition], ids=["RLock", "Condition"]
)


def taken_by_a_thread(lock: Any) -> bool:
    """Return whether another thread can take the lock now."""
    taken: list[bool] = []

    def take() -> None:
        if lock.acquire(blocking=False):
            taken.append(True)
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return bool(taken)


@each_loop
@each_kind
def test_a_task_may_take_it_again(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        async with lock:
            assert await lock.acquire_async() is True
            with lock:  # the same task, though not by a method for tasks
                assert lock.acquire(timeout=1)
                lock.release()
                assert lock._is_owned()
                assert not taken_by_a_thread(lock)
            lock.release()
            assert not taken_by_a_thread(lock)
        assert taken_by_a_thread(lock)
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()

    run(loop, main)


@each_loop
@each_kind
def test_tasks_of_one_loop_exclude_each_other(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        inside = most = 0

        async def work() -> None:
            nonlocal inside, most
            for _ in range(20):
                async with lock, lock:
                    inside += 1
                    most = max(most, inside)
                    await anyio.sleep(0)
                    inside -= 1

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(work)
        assert (inside, most) == (0, 1)
        assert taken_by_a_thread(lock)

    run(loop, main)


@each_loop
@each_kind
def test_another_task_neither_releases_nor_stops_the_loop(
    loop: str, make: Callable[[], Any]
) -> None:
    async def main() -> None:
        lock = make()

        async def other() -> None:
            assert not lock._is_owned()
            with pytest.raises(RuntimeError, match="un-acquired"):
                lock.release()
            with pytest.raises(RuntimeError, match="another task"):
                lock.acquire()
            with pytest.raises(RuntimeError, match="another task"), lock:
                pass
            assert lock.acquire(blocking=False) is False
            assert lock.acquire(timeout=0.001) is False
            assert await lock.acquire_async(timeout=0.001) is False

        async with lock, anyio.create_task_group() as group:
            group.start_soon(other)
        assert taken_by_a_thread(lock)

    run(loop, main)


@each_kind
def test_a_callback_of_the_loop_does_not_stop_it(make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        raised = asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                lock.acquire()
            except RuntimeError as error:
                raised.set_result(str(error))
            else:
                raised.set_result("")

        async with lock:
            asyncio.get_running_loop().call_soon(callback)
            assert "another task" in await raised

    asyncio.run(main())


@each_kind
def test_what_the_thread_has_is_not_a_tasks(make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        with lock, pytest.raises(RuntimeError, match="async with"):
            await lock.acquire_async()
        assert taken_by_a_thread(lock)

    asyncio.run(main())


@each_kind
def test_an_owner_is_needed(make: Callable[[], Any]) -> None:
    lock = make()
    with pytest.raises(RuntimeError, match="no task"):
        lock.acquire_async().send(None)
    assert taken_by_a_thread(lock)


@each_kind
def test_the_owner_is_the_task_that_calls(make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        assert await asyncio.wait_for(lock.acquire_async(), TIMEOUT)
        assert await asyncio.create_task(lock.acquire_async())
        lock.release()
        assert lock._is_owned()
        lock.release()
        assert taken_by_a_thread(lock)

    asyncio.run(main())


@each_kind
def test_threads_and_loops(make: Callable[[], Any]) -> None:
    lock = make()
    count = 0

    def thread() -> None:
        nonlocal count
        for _ in range(200):
            with lock, lock:
                before = count
                count = before + 1

    async def task() -> None:
        nonlocal count
        for number in range(50):
            async with lock:
                before = count
                if number % 5 == 0:
                    await asyncio.sleep(0)
                with lock:
                    count = before + 1

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(4)))

    threads = [threading.Thread(target=thread) for _ in range(2)]
    threads += [threading.Thread(target=lambda: asyncio.run(tasks())) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(TIMEOUT)
    assert count == 2 * 200 + 2 * 4 * 50


@each_kind
def test_a_task_that_has_ended_is_nobody_elses(make: Callable[[], Any]) -> None:
    """Not even if the next task has its address."""

    async def main() -> None:
        lock = make()

        async def leak() -> None:
            await lock.acquire_async()

        async def owns() -> bool:
            return bool(lock._is_owned())

        for _ in range(50):
            await asyncio.create_task(leak())
            gc.collect()
            assert await asyncio.create_task(owns()) is False
            lock._at_fork_reinit()

    asyncio.run(main())


@each_kind
def test_a_closed_coroutine_releases_it(make: Callable[[], Any]) -> None:
    lock = make()

    async def hold() -> None:
        async with lock, lock:
            await asyncio.sleep(TIMEOUT)

    loop = asyncio.new_event_loop()
    task = loop.create_task(hold())
    loop.run_until_complete(asyncio.sleep(0))
    assert not taken_by_a_thread(lock)
    task.get_coro().close()
    assert taken_by_a_thread(lock)
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


@each_kind
def test_it_says_who_has_it(make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        async with lock, lock:
            assert f"owner={threading.get_ident()} count=2" in repr(lock)
        assert "owner=0 count=0" in repr(lock)

    asyncio.run(main())


@each_loop
def test_waits_at_a_condition(loop: str) -> None:
    async def main() -> None:
        condition = golock.Condition()
        results: list[bool] = []

        async def wait() -> None:
            async with condition, condition:
                results.append(await condition.wait_async())
                assert condition._is_owned()
                condition.release()
                assert not taken_by_a_thread(condition)
                condition.acquire()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await until(lambda: repr(condition).endswith("3)>"))
            with pytest.raises(RuntimeError, match="un-acquired"):
                condition.notify()
            with condition:
                condition.notify()
            await until(lambda: len(results) == 1)
            async with condition:
                condition.notify_all()
        assert results == [True] * 3
        assert taken_by_a_thread(condition)

    run(loop, main)


@each_loop
def test_only_the_owner_waits(loop: str) -> None:
    async def main() -> None:
        condition = golock.Condition()

        async def other() -> None:
            for call in (condition.wait_async, lambda: condition.wait_for_async(lambda: False)):
                with pytest.raises(RuntimeError, match="un-acquired"):
                    await call()
            with pytest.raises(RuntimeError, match="un-acquired"):
                condition.wait(1)
            with pytest.raises(RuntimeError, match="un-acquired"):
                condition.notify_all()

        async with condition, anyio.create_task_group() as group:
            group.start_soon(other)

    run(loop, main)


def test_the_owner_waits_as_a_thread() -> None:
    async def main() -> None:
        condition = golock.Condition()
        async with condition, condition:
            assert condition.wait(0.001) is False
            assert condition._is_owned()
            assert not taken_by_a_thread(condition)
        assert taken_by_a_thread(condition)

    asyncio.run(main())


def test_what_the_thread_has_is_taken_again_for_it() -> None:
    async def main() -> None:
        condition = golock.Condition()
        with condition:
            assert await condition.wait_async(0.001) is False
            assert condition._is_owned()
        assert taken_by_a_thread(condition)

    asyncio.run(main())


def test_a_closed_wait_forgoes_the_lock() -> None:
    """As often as the task had it."""
    condition = golock.Condition()

    async def wait() -> None:
        async with condition, condition:
            await condition.wait_async()

    loop = asyncio.new_event_loop()
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    with condition:
        task.get_coro().close()
        assert not taken_by_a_thread(condition)
    assert taken_by_a_thread(condition)
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


def test_an_opened_condition_is_left() -> None:
    async def main() -> None:
        condition = golock.Condition()
        async with condition:
            condition.__dict__  # opens it
            with pytest.raises(RuntimeError, match="internals"):
                await condition.wait_async()
        assert taken_by_a_thread(condition._lock)

    asyncio.run(main())


@pytest.mark.parametrize("sight", ["owners", "order"])
def test_beside_sight(sight: str) -> None:
    program = (
        "import asyncio, golock, golock.sight\n"
        f"golock.sight.start({sight!r})\n"
        "async def main():\n"
        "    condition = golock.Condition()\n"
        "    async def work():\n"
        "        async with condition:\n"
        "            await asyncio.sleep(0)\n"
        "            condition.notify()\n"
        "            await condition.wait_async(0.01)\n"
        "    await asyncio.gather(*(work() for _ in range(5)))\n"
        "    golock.sight.snapshot()\n"
        "    with condition:\n"
        "        pass\n"
        "asyncio.run(main())\n"
        "print('done')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("done\n", "")
