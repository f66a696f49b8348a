"""A wait at a condition over an RLock that fails passes its notification on, whoever runs it."""

from __future__ import annotations

import asyncio
import threading

import golock


def _notify_by_a_thread(condition: golock.Condition) -> None:
    def notify() -> None:
        with condition:
            condition.notify()

    thread = threading.Thread(target=notify)
    thread.start()
    thread.join()


async def _wait(condition: golock.Condition) -> bool:
    async with condition:
        return await condition.wait_async()


def test_cancelled_in_a_task_of_its_own() -> None:
    async def main() -> None:
        condition = golock.Condition()
        async with condition:
            own = asyncio.create_task(condition.wait_async())
            await asyncio.sleep(0)
            other = asyncio.create_task(_wait(condition))
            await asyncio.sleep(0)
            _notify_by_a_thread(condition)
            own.cancel()
            await asyncio.wait([own])
            assert own.cancelled()
            assert condition._is_owned()
        assert await other is True

    asyncio.run(main())


def test_closed_where_no_task_runs() -> None:
    condition = golock.Condition()
    loop = asyncio.new_event_loop()
    first = loop.create_task(_wait(condition))
    second = loop.create_task(_wait(condition))
    loop.run_until_complete(asyncio.sleep(0))
    with condition:
        condition.notify()
    first.get_coro().close()
    assert loop.run_until_complete(second) is True
    _notify_by_a_thread(condition)  # which can take the lock
    first.cancel()
    loop.run_until_complete(asyncio.wait([first]))
    loop.close()
