"""A wait at a condition has the lock when it raises, also if its release of the lock raised."""

from __future__ import annotations

import asyncio
import sysconfig
from typing import Any

import pytest

import golock


class _Loop(asyncio.SelectorEventLoop):
    interrupts = False

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        if self.interrupts:
            self.interrupts = False
            raise KeyboardInterrupt
        return super().call_soon(*args, **kwargs)


@pytest.mark.skipif(
    sysconfig.get_config_var("Py_GIL_DISABLED") == 1,
    reason="without a GIL a release runs no code of the loop",
)
def test_an_interrupt_while_the_wait_releases_the_lock() -> None:
    loop = _Loop()

    async def main() -> None:
        lock = golock.Lock()
        condition = golock.Condition(lock)

        async def take_and_release() -> None:
            async with lock:
                pass

        await lock.acquire_async()
        other = asyncio.ensure_future(take_and_release())
        await asyncio.sleep(0)
        loop.interrupts = True
        with pytest.raises(KeyboardInterrupt):
            await condition.wait_async()
        assert not lock.acquire(False)
        lock.release()
        await other

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
