"""``await lock.acquire_async()`` and ``async with lock``: Lock, Semaphore, BoundedSemaphore."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import golock
from event_loops import each_loop, run, until

TIMEOUT = 30

each_kind = pytest.mark.parametrize(
    "make", [golock.Lock, golock.Semaphore, golock.BoundedSemaphore], ids=lambda make: make.__name__
)


@each_kind
@each_loop
def test_a_free_lock_is_taken_at_once(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        async with lock:
            assert not lock.acquire(False)
        assert await lock.acquire_async() is True
        assert not lock.acquire(False)
        lock.release()
        assert await lock.acquire_async(timeout=0) is True
        lock.release()
        assert lock.acquire(False)

    run(loop, main)


@pytest.mark.parametrize(
    "make",
    [golock.Lock, golock.RLock, golock.Semaphore, golock.BoundedSemaphore, golock.Condition],
    ids=lambda make: make.__name__,
)
@each_loop
def test_async_with_gives_none_as_asyncio(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        entered: list[object] = []

        async def enter() -> None:
            async with lock as given:
                entered.append(given)
                group.start_soon(enter_held)
                await anyio.wait_all_tasks_blocked()

        async def enter_held() -> None:
            async with lock as given:
                entered.append(given)

        async with anyio.create_task_group() as group:
            group.start_soon(enter)
        assert entered == [None, None]
        with pytest.raises(StopIteration) as stopped:
            lock.__aenter__().send(None)
        assert stopped.value.value is None

    run(loop, main)


@each_kind
def test_nothing_is_taken_before_the_await(make: Callable[[], Any]) -> None:
    lock = make()
    waits = [lock.acquire_async(), lock.__aenter__(), lock.acquire_async(timeout=1)]
    assert lock.acquire(False)
    lock.release()
    with pytest.warns(RuntimeWarning, match="never awaited"):
        waits.clear()
    assert lock.acquire(False)


def test_a_wait_is_awaited_once() -> None:
    lock = golock.Lock()
    wait = lock.acquire_async()

    async def main() -> None:
        assert await wait
        with pytest.raises(RuntimeError, match="already awaited"):
            await wait

    run("asyncio", main)
    assert lock.locked()


@each_kind
def test_a_contended_wait_needs_a_loop(make: Callable[[], Any]) -> None:
    lock = make()
    lock.acquire()
    with pytest.raises(RuntimeError, match="no running event loop"):
        lock.acquire_async().send(None)
    lock.release()
    assert lock.acquire(False)


@each_kind
@pytest.mark.parametrize("timeout", ["1", [], object(), float("nan")])
def test_timeouts_that_are_no_numbers(make: Callable[[], Any], timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        make().acquire_async(timeout)
    with pytest.raises(TypeError):
        make().acquire_async(timeouts=1)
    with pytest.raises(TypeError):
        make().acquire_async(1, 1)


@each_kind
@each_loop
def test_a_wait_ends_at_its_timeout(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        for timeout in (0, -1, 0.001, 0.01):
            assert await lock.acquire_async(timeout) is False
        lock.release()
        assert await lock.acquire_async(timeout=TIMEOUT)

    run(loop, main)


@each_kind
@each_loop
def test_a_thread_wakes_a_task(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        order: list[str] = []

        async def wait() -> None:
            async with lock:
                order.append("taken")

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            order.append("released")
            thread = threading.Thread(target=lock.release)
            thread.start()
        thread.join(TIMEOUT)
        assert order == ["released", "taken"]

    run(loop, main)


@each_kind
@each_loop
def test_a_task_wakes_a_thread(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        taken = threading.Event()

        def take() -> None:
            lock.acquire()
            taken.set()

        async with lock:
            thread = threading.Thread(target=take)
            thread.start()
            await anyio.sleep(0.01)
            assert not taken.is_set()
        await until(taken.is_set)
        thread.join(TIMEOUT)

    run(loop, main)


@each_kind
@each_loop
def test_tasks_are_served_in_the_order_of_their_arrival(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        order: list[int] = []

        async def wait(number: int) -> None:
            async with lock:
                order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(wait, number)
                await anyio.sleep(0)
                await anyio.sleep(0)
            lock.release()
        assert order == sorted(order)
        assert len(order) == 10

    run(loop, main)


@each_kind
@each_loop
def test_a_cancelled_wait_takes_nothing(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        with anyio.move_on_after(0.01) as scope:
            await lock.acquire_async()
        assert scope.cancelled_caught
        lock.release()
        assert lock.acquire(False)

    run(loop, main)


@each_kind
@each_loop
def test_a_task_cancelled_as_it_is_woken_wakes_the_next(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()
        taken: list[str] = []

        async def wait(name: str, scope: anyio.CancelScope) -> None:
            with scope:
                async with lock:
                    taken.append(name)

        first, second = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "first", first)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(wait, "second", second)
            await anyio.wait_all_tasks_blocked()
            lock.release()  # the first is the claimant now
            first.cancel()
        assert taken[-1] == "second"
        assert lock.acquire(False)

    run(loop, main)


@each_kind
@each_loop
def test_a_wait_that_is_dropped_passes_its_claim_on(loop: str, make: Callable[[], Any]) -> None:
    async def main() -> None:
        lock = make()
        lock.acquire()

        async def wait() -> None:
            async with lock:
                pass

        async with anyio.create_task_group() as group:
            dropped = lock.acquire_async()
            if loop != "trio":  # whose traps cannot be stepped by hand
                dropped.send(None)
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            lock.release()
            dropped.close()
            del dropped
        assert lock.acquire(False)

    run(loop, main)


@each_loop
def test_permits(loop: str) -> None:
    async def main() -> None:
        semaphore = golock.Semaphore(3)
        inside = most = 0

        async def work() -> None:
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await anyio.sleep(0.001)
                inside -= 1

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(work)
        assert most == 3
        assert semaphore._value == 3

    run(loop, main)


@each_loop
def test_several_permits_wake_several_tasks(loop: str) -> None:
    async def main() -> None:
        semaphore = golock.Semaphore(0)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(semaphore.acquire_async)
            await anyio.wait_all_tasks_blocked()
            semaphore.release(5)
        assert not semaphore.acquire(False)

    run(loop, main)


def test_a_bounded_semaphore_keeps_its_bound() -> None:
    async def main() -> None:
        semaphore = golock.BoundedSemaphore(1)
        async with semaphore:
            pass
        with pytest.raises(ValueError, match="too many"):
            await semaphore.__aexit__(None, None, None)

    run("asyncio", main)


def test_aexit_raises_what_release_raises() -> None:
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        golock.Lock().__aexit__(None, None, None)


@each_loop
def test_a_semaphore_whose_internals_are_used_refuses(loop: str) -> None:
    async def main() -> None:
        semaphore = golock.Semaphore(0)
        raised: list[str] = []

        async def wait() -> None:
            try:
                await semaphore.acquire_async()
            except RuntimeError as error:
                raised.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            semaphore._cond  # opens it
        assert "internals" in raised[0]
        with pytest.raises(RuntimeError, match="internals"):
            await semaphore.acquire_async()

    run(loop, main)


@each_loop
def test_a_wait_that_would_stop_its_own_loop_raises(loop: str) -> None:
    async def main() -> None:
        lock = golock.Lock()
        async with lock:
            for wait in (lock.acquire, lock.__enter__, golock.Condition(lock).acquire):
                with pytest.raises(RuntimeError, match="event loop"):
                    wait()
            assert not lock.acquire(timeout=0.001)
            assert not lock.acquire(False)
        with lock:  # no task has it any more
            assert not lock.acquire(timeout=0.001)
        assert lock.acquire()

    run(loop, main)


@each_loop
def test_a_contended_task_has_the_lock_too(loop: str) -> None:
    async def main() -> None:
        lock = golock.Lock()
        lock.acquire()

        async def wait() -> None:
            await lock.acquire_async()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            lock.release()
        with pytest.raises(RuntimeError, match="event loop"):
            lock.acquire()

    run(loop, main)


def test_outside_the_loop_a_wait_for_its_lock_is_a_wait() -> None:
    lock = golock.Lock()

    async def main() -> None:
        await lock.acquire_async()

    run("asyncio", main)
    threading.Timer(0.01, lock.release).start()
    assert lock.acquire()
