"""Goroutines, threads and tasks of event loops wait for the same lock or event."""

from __future__ import annotations

import asyncio
import threading

import anyio

import golock
from contending_tasks import Contest
from goroutines import shared_lock

TIMEOUT = 60


def test_goroutines_threads_and_tasks(stress):
    with shared_lock() as (lock, peer):
        contest = Contest(lock)
        goroutines = 4
        over = threading.Event()

        def contend() -> None:
            while not over.is_set():
                peer.Start(goroutines, "lock timeout=0.0005 lock")
                peer.Join(TIMEOUT)

        other = threading.Thread(target=contend)
        other.start()
        contest.run(stress.size(4_000, 1_000_000))
        over.set()
        other.join(TIMEOUT)
        assert contest.count == contest.expected
        assert peer.Count() == peer.Acquired() > 0
    stress.count("cancelled tasks", contest.cancelled)


def test_a_goroutine_wakes_a_task():
    with shared_lock() as (lock, peer):
        peer.Hold()

        async def main() -> None:
            waiting = [asyncio.create_task(lock.acquire_async(timeout=TIMEOUT)) for _ in range(3)]
            await anyio.wait_all_tasks_blocked()
            peer.Let()
            for _ in waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                waiting = [task for task in waiting if task not in done]
                assert all(task.result() for task in done)
                lock.release()
                if not waiting:
                    break

        asyncio.run(main())
        peer.Join(TIMEOUT)


def test_a_lock_that_is_shared_while_a_task_waits():
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()
        waiting = asyncio.create_task(lock.acquire_async(timeout=TIMEOUT))
        await anyio.wait_all_tasks_blocked()
        with golock.shared(lock) as address:
            from gopy_counter import peer

            peer.NewPeer(address).Release()
            assert await waiting
        lock.release()

    asyncio.run(main())
