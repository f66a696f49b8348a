"""Threads that contend on golock, in a program that PyInstaller has frozen."""

from __future__ import annotations

import asyncio
import json
import queue
import sys
import threading
from pathlib import Path

import golock

THREADS, ROUNDS = 8, 2_000


async def contend() -> None:
    lock = golock.Lock()

    async def take() -> None:
        async with lock:
            await asyncio.sleep(0)

    await asyncio.gather(*(take() for _ in range(THREADS)))


def main() -> None:
    golock.install()
    lock, tasks, total = threading.Lock(), queue.Queue[int](2), 0

    def put() -> None:
        nonlocal total
        for number in range(ROUNDS):
            tasks.put(number)
            with lock:
                total += tasks.get()

    threads = [threading.Thread(target=put) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == THREADS * sum(range(ROUNDS))
    asyncio.run(contend())
    core = golock.core_address()  # loads the core if no thread had to wait
    spec = threading.__spec__
    assert spec is not None
    assert spec.loader is not None
    golocks = isinstance(lock, golock.LockType) and isinstance(tasks.not_empty, golock.Condition)
    result = {
        "frozen": getattr(sys, "frozen", False),
        "golocks": golocks,
        "core": core != 0,
        "header": Path(golock.get_include(), "golock.h").is_file(),
        "code of threading": type(spec.loader.get_code("threading")).__name__,  # type: ignore[attr-defined]
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
