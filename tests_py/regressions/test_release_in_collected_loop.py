"""A task that is collected with its loop may release a lock for which others of the loop wait."""

from __future__ import annotations

import asyncio
import gc

import golock


def test_a_holder_is_collected_with_its_loop() -> None:
    lock = golock.Lock()
    seen: list[BaseException] = []

    async def hold() -> None:
        try:
            async with lock:
                await asyncio.get_running_loop().create_future()
        except BaseException as error:
            seen.append(error)
            raise

    async def wait() -> None:
        async with lock:
            pass

    async def main() -> None:
        holder, waiter = asyncio.ensure_future(hold()), asyncio.ensure_future(wait())
        holder.add_done_callback(lambda _: waiter)
        waiter.add_done_callback(lambda _: holder)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
        loop.run_until_complete(main())
        loop.close()

    gc.disable()
    try:
        abandon()
        gc.collect()
    finally:
        gc.enable()
    assert [type(error) for error in seen] == [GeneratorExit]
    assert lock.acquire(False)
