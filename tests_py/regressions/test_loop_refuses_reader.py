"""A loop that refused the descriptor once does not leave later waits without their wakes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import golock


class _Loop(asyncio.SelectorEventLoop):
    refuses = True

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        if self.refuses:
            self.refuses = False
            raise OSError("no space")
        super().add_reader(fd, callback, *args)


def test_a_loop_that_refused_its_reader() -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        with pytest.raises(OSError, match="no space"):
            await lock.acquire_async()
        waits = asyncio.ensure_future(lock.acquire_async())
        await asyncio.sleep(0)
        thread = threading.Thread(target=lock.release)
        thread.start()
        assert await asyncio.wait_for(waits, 10) is True
        thread.join()

    loop = _Loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
