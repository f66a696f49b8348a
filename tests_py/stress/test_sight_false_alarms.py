"""golock.sight finds no deadlock where there is none, among tasks, threads and processes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import sys
import textwrap
import threading
from random import Random

import pytest

import golock
from golock import process, sight
from waiting import join, start

ROUNDS = 5_000


@pytest.fixture(autouse=True)
def _owners():
    sight.start("owners", on_deadlock=None)
    yield
    sight.stop()


def some(random, locks):
    """Return two or three of the locks, in their order: those who take them never deadlock."""
    return sorted(random.sample(range(len(locks)), random.choice([2, 3])))


async def work(random, locks):
    for _ in range(ROUNDS):
        async with contextlib.AsyncExitStack() as stack:
            for index in some(random, locks):
                if random.random() < 0.2:
                    if not await locks[index].acquire_async(random.random() / 1000):
                        break
                    stack.callback(locks[index].release)
                else:
                    await stack.enter_async_context(locks[index])
                await asyncio.sleep(0)


async def cancelled(random, locks):
    """Run what is cancelled now and then."""
    for _ in range(10):
        task = asyncio.create_task(work(random, locks))
        await asyncio.sleep(random.random() / 100)
        task.cancel()
        await asyncio.wait([task])


def loop(seed, locks):
    random = Random(seed)

    async def main():
        works = [work(Random(random.random()), locks) for _ in range(4)]
        await asyncio.gather(*works, cancelled(Random(random.random()), locks))

    asyncio.run(main())


def thread(seed, locks):
    random = Random(seed)
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            for index in some(random, locks):
                stack.enter_context(locks[index])


def look_meanwhile(threads):
    """Return the deadlocks that were seen while the threads ran."""
    found, looks = [], 0
    while any(each.is_alive() for each in threads):
        found += sight.deadlocks()
        looks += 1
    join(threads)
    assert looks > 10
    return found


def test_tasks_of_two_loops_and_threads():
    locks = [golock.Lock() for _ in range(5)]
    threads = [start(loop, seed, locks) for seed in (1, 2)]
    threads += [start(thread, seed, locks) for seed in (3, 4)]
    assert look_meanwhile(threads) == []
    assert not any(lock.locked() for lock in locks)


def test_threads_of_two_processes():
    """The other process also releases what this one has taken, and takes it again."""
    name = f"test {secrets.token_hex(8)}"
    code = f"""
        import contextlib
        from golock.process import Lock
        locks = [Lock({name!r} + str(number)) for number in range(3)]
        for round in range({20 * ROUNDS}):
            with contextlib.suppress(RuntimeError), locks[round % 3]:
                pass
            if locks[0].locked():
                with contextlib.suppress(RuntimeError):
                    locks[0].release()
    """
    locks = [process.Lock(name + str(number)) for number in range(3)]
    locks.insert(1, golock.Lock())
    done = threading.Event()

    def take(seed):
        random = Random(seed)
        while not done.is_set():
            with contextlib.ExitStack() as stack:
                for index in some(random, locks):
                    locks[index].acquire()
                    stack.callback(free, locks[index])

    def free(lock):
        with contextlib.suppress(RuntimeError):  # the other process has released it
            lock.release()

    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    threads = [start(take, seed) for seed in range(4)]
    ender = start(lambda: (other.wait(), done.set()))
    try:
        assert look_meanwhile([*threads, ender]) == []
        assert other.returncode == 0
    finally:
        other.kill()
        other.wait()
        for number in range(3):
            process.unlink(name + str(number))
