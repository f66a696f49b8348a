"""``wait_for_async`` waits for the task that called it, also if another task runs it.

``asyncio.wait_for`` makes a task for it before 3.12.
"""

from __future__ import annotations

import asyncio

import golock

TIMEOUT = 30


def test_it_waits_for_its_caller() -> None:
    async def main() -> None:
        condition = golock.Condition()
        ready = False

        async def make_ready() -> None:
            nonlocal ready
            async with condition:
                ready = True
                condition.notify()

        async with condition:
            other = asyncio.create_task(make_ready())
            waits = asyncio.create_task(condition.wait_for_async(lambda: ready, TIMEOUT))
            assert await waits is True
            assert condition._is_owned()
        await other

    asyncio.run(main())


def test_within_a_limit() -> None:
    async def main() -> None:
        condition = golock.Condition()
        async with condition:
            waits = condition.wait_for_async(lambda: False, 0.001)
            assert await asyncio.wait_for(waits, TIMEOUT) is False
            assert condition._is_owned()

    asyncio.run(main())


def test_called_where_no_task_runs() -> None:
    condition = golock.Condition()
    waits = condition.wait_for_async(lambda: False, 0.001)

    async def main() -> None:
        async with condition:
            assert await waits is False

    asyncio.run(main())
