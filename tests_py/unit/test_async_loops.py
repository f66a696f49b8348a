"""Loops that stop, end or block while their tasks wait, and several loops at once."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import golock

TIMEOUT = 30

each_kind = pytest.mark.parametrize(
    "make", [golock.Lock, golock.Semaphore], ids=lambda make: make.__name__
)


async def take(lock: Any) -> None:
    async with lock:
        pass


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run what is ready on the loop."""
    loop.run_until_complete(asyncio.sleep(0.001))


@each_kind
@pytest.mark.parametrize("shared", [False, True])
def test_the_claim_of_a_stopped_loop_goes_to_a_thread(
    make: Callable[[], Any], shared: bool
) -> None:
    lock = make()
    lock.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(take(lock))
    turn(loop)
    if shared:
        holds = golock.shared(lock)
        holds.__enter__()
    lock.release()  # the task is the claimant, and its loop does not run
    taken = threading.Event()
    threads = [
        threading.Thread(target=lambda: (lock.acquire(), taken.set(), lock.release()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert taken.is_set()
    loop.run_until_complete(asyncio.wait_for(task, TIMEOUT))
    loop.close()
    assert lock.acquire(False)


@each_kind
def test_a_reservation_of_a_stopped_loop_lapses(make: Callable[[], Any]) -> None:
    """The threads that wait cannot take the lock, because it is reserved for the task."""
    before = golock.get_handoff()
    golock.set_handoff(0)
    try:
        lock = make()
        lock.acquire()
        loop = asyncio.new_event_loop()
        task = loop.create_task(take(lock))
        turn(loop)
        thread = threading.Thread(target=lambda: (lock.acquire(), lock.release()))
        thread.start()
        lock.release()
        assert lock.acquire(timeout=TIMEOUT)
        lock.release()
        thread.join(TIMEOUT)
        loop.run_until_complete(asyncio.wait_for(task, TIMEOUT))
        loop.close()
        assert lock.acquire(False)
    finally:
        golock.set_handoff(before)


@each_kind
def test_a_loop_that_runs_again_looks(make: Callable[[], Any]) -> None:
    """Also if the task whose claim has lapsed is cancelled, and nobody wakes the other."""
    before = golock.get_handoff()
    golock.set_handoff(0)
    try:
        lock = make()
        lock.acquire()
        loop = asyncio.new_event_loop()
        first, second = loop.create_task(take(lock)), loop.create_task(take(lock))
        turn(loop)
        lock.release()
        assert lock.acquire(timeout=TIMEOUT)  # when the claim of the first has lapsed
        lock.release()
        first.cancel()
        loop.run_until_complete(asyncio.wait_for(second, TIMEOUT))
        assert first.cancelled()
        loop.close()
        assert lock.acquire(False)
    finally:
        golock.set_handoff(before)


@each_kind
def test_the_claim_of_a_stopped_loop_goes_to_another_loop(make: Callable[[], Any]) -> None:
    lock = make()
    lock.acquire()
    stopped = [asyncio.new_event_loop() for _ in range(3)]
    tasks = [loop.create_task(take(lock)) for loop in stopped]
    for loop in stopped:
        turn(loop)
    lock.release()

    async def main() -> None:
        for _ in range(10):
            assert await lock.acquire_async(timeout=TIMEOUT)
            lock.release()

    asyncio.run(main())
    for loop, task in zip(stopped, tasks, strict=True):
        loop.run_until_complete(asyncio.wait_for(task, TIMEOUT))
        loop.close()
    assert lock.acquire(False)


@each_kind
def test_a_loop_that_is_closed_strands_nobody(make: Callable[[], Any]) -> None:
    lock = make()
    lock.acquire()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    task = loop.create_task(take(lock))
    turn(loop)
    loop.close()
    lock.release()

    async def main() -> None:
        assert await lock.acquire_async(timeout=TIMEOUT)
        lock.release()

    asyncio.run(main())
    assert lock.acquire(timeout=TIMEOUT)
    lock.release()
    del task
    gc.collect()
    assert lock.acquire(False)


def test_a_loop_and_its_locks_are_collected() -> None:
    lock = golock.Lock()
    lock.acquire()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(take(lock))
    turn(loop)
    gone = [weakref.ref(lock), weakref.ref(loop)]
    loop.close()
    del lock, loop, task
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_loop_ended_by_an_interrupt() -> None:
    lock = golock.Lock()
    lock.acquire()

    async def main() -> None:
        waiting = asyncio.create_task(take(lock))
        await anyio.wait_all_tasks_blocked()
        lock.release()
        asyncio.get_running_loop().call_soon(interrupt)
        await waiting
        await asyncio.sleep(TIMEOUT)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert lock.acquire(timeout=TIMEOUT)


def test_a_blocked_loop_goes_on_when_it_runs_again() -> None:
    lock = golock.Lock()
    event = threading.Event()

    async def block() -> None:
        waiting = asyncio.create_task(take(lock))
        await anyio.wait_all_tasks_blocked()
        blocked.set()
        event.wait(TIMEOUT)
        await waiting

    blocked = threading.Event()
    lock.acquire()
    thread = threading.Thread(target=lambda: asyncio.run(block()))
    thread.start()
    assert blocked.wait(TIMEOUT)
    lock.release()
    assert lock.acquire(timeout=TIMEOUT)  # at once, or when the claim has lapsed
    lock.release()
    asyncio.run(take(lock))
    event.set()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert lock.acquire(False)


def test_wait_for_and_timeout_of_asyncio() -> None:
    async def main() -> None:
        lock = golock.Lock()
        await asyncio.wait_for(lock.acquire_async(), TIMEOUT)
        with pytest.raises((asyncio.TimeoutError, TimeoutError)):
            await asyncio.wait_for(lock.acquire_async(), 0.01)
        lock.release()
        assert lock.acquire(False)
        lock.release()
        results = await asyncio.gather(*(lock.acquire_async(timeout=0.01) for _ in range(3)))
        assert results.count(True) == 1

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_eager_tasks() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        lock = golock.Lock()
        async with lock:
            waiting = [asyncio.create_task(take(lock)) for _ in range(3)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
        assert asyncio.create_task(take(lock)).done()

    asyncio.run(main())


def test_a_child_has_no_waiting_tasks() -> None:
    async def main() -> None:
        lock, event = golock.Lock(), golock.Event()
        condition = golock.Condition(lock)
        waiting = []

        async def wait() -> None:
            async with condition:
                await condition.wait_async()

        waiting.append(asyncio.create_task(wait()))
        await anyio.wait_all_tasks_blocked()
        lock.acquire()
        waiting.append(asyncio.create_task(take(lock)))
        waiting.append(asyncio.create_task(wait_of(event)))
        await anyio.wait_all_tasks_blocked()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                condition.notify()
                lock.release()
                event.set()
                for task in waiting[1:]:
                    task.get_coro().close()
                lock.acquire(timeout=0)
                lock.release()
                asyncio.events._set_running_loop(None)
                other = asyncio.new_event_loop()
                other.run_until_complete(take(lock))
                other.run_until_complete(contend(lock))
                status = 0
            finally:
                os._exit(status)
        status = os.waitpid(child, 0)[1]
        condition.notify()
        lock.release()
        assert status == 0
        event.set()
        await asyncio.wait_for(asyncio.gather(*waiting), TIMEOUT)

    asyncio.run(main())


async def wait_of(event: golock.Event) -> None:
    await event.wait_async()


async def contend(lock: golock.Lock) -> None:
    await asyncio.gather(*(take(lock) for _ in range(3)), hold(lock))


async def hold(lock: golock.Lock) -> None:
    async with lock:
        await asyncio.sleep(0.001)


@each_kind
def test_loops_and_threads_at_once(make: Callable[[], Any]) -> None:
    lock = make()
    count = 0

    def thread() -> None:
        nonlocal count
        for _ in range(500):
            with lock:
                before = count
                count = before + 1

    async def task() -> None:
        nonlocal count
        for number in range(100):
            async with lock:
                before = count
                if number % 10 == 0:
                    await asyncio.sleep(0)
                count = before + 1

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(5)))

    threads = [threading.Thread(target=thread) for _ in range(4)]
    threads += [threading.Thread(target=lambda: asyncio.run(tasks())) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(TIMEOUT)
    assert count == 4 * 500 + 4 * 5 * 100
