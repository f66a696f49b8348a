"""Notifications of tasks at a condition whose loops stop, end or block."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
from collections.abc import Iterator

import anyio

import golock
from event_loops import each_loop, run, until

TIMEOUT = 30


@contextlib.contextmanager
def strict_order() -> Iterator[None]:
    before = golock.get_handoff()
    golock.set_handoff(0)
    try:
        yield
    finally:
        golock.set_handoff(before)


class Stopped:
    """A loop of asyncio that runs only in `turn`, with a task that waits at a condition."""

    def __init__(self, condition: golock.Condition) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
        self.task = self.loop.create_task(self._wait(condition))
        self._gate = golock.Lock()
        self._gate.acquire()
        self._gate_task = self.loop.create_task(self._take_gate())
        with strict_order():
            self.turn()

    @staticmethod
    async def _wait(condition: golock.Condition) -> bool:
        async with condition:
            return await condition.wait_async()

    async def _take_gate(self) -> None:
        async with self._gate:
            pass

    def turn(self) -> None:
        """Run what is ready, and what that makes ready."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0.001))

    def wait_until_it_does_not_respond(self) -> None:
        with strict_order():
            self._gate.release()  # reserved for the task of the loop
            assert self._gate.acquire(timeout=TIMEOUT)  # its claim has lapsed

    def close(self) -> None:
        self._gate.release()
        self.task.cancel()
        self.loop.run_until_complete(asyncio.wait([self.task, self._gate_task]))
        self.loop.close()


def waiters(condition: golock.Condition) -> int:
    number = re.search(r", (\d+)\)>$", repr(condition))
    assert number is not None
    return int(number[1])


class Waiting(threading.Thread):
    """A thread that waits at a condition when the constructor returns."""

    def __init__(self, condition: golock.Condition) -> None:
        super().__init__(daemon=True)
        self.condition = condition
        self.notified: bool | None = None
        before = waiters(condition)
        self.start()
        while waiters(condition) == before:
            self.join(0.001)

    def run(self) -> None:
        with self.condition:
            self.notified = self.condition.wait(TIMEOUT)

    def ended(self) -> bool | None:
        self.join(TIMEOUT)
        return self.notified


def new() -> golock.Condition:
    return golock.Condition(golock.Lock())


def notify(condition: golock.Condition, n: int = 1) -> None:
    with condition:
        condition.notify(n)


def test_it_goes_to_the_next_waiter() -> None:
    condition = new()
    stopped, thread = Stopped(condition), Waiting(condition)
    notify(condition)
    assert thread.ended() is True
    stopped.turn()  # one notification, one waiter
    assert not stopped.task.done()
    assert waiters(condition) == 1
    notify(condition)
    stopped.turn()
    assert stopped.task.result() is True
    stopped.close()


def test_it_goes_to_another_loop() -> None:
    condition = new()
    stopped = [Stopped(condition) for _ in range(3)]
    notified: list[bool] = []

    async def main() -> None:
        async with condition:
            waiting.set()
            notified.append(await condition.wait_async(TIMEOUT))

    waiting = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert waiting.wait(TIMEOUT)
    notify(condition)
    thread.join(TIMEOUT)
    assert notified == [True]
    for each in stopped:
        each.turn()
        assert not each.task.done()
        each.close()


def test_of_a_closed_loop() -> None:
    condition = new()
    stopped, thread = Stopped(condition), Waiting(condition)
    stopped.loop.close()
    notify(condition)
    assert thread.ended() is True
    del stopped
    gc.collect()
    assert waiters(condition) == 0
    thread = Waiting(condition)
    notify(condition)
    assert thread.ended() is True


@each_loop
def test_a_loop_that_is_blocked_is_not_notified_as_well(loop: str) -> None:
    condition = new()
    blocked, unblock = threading.Event(), threading.Event()
    results: list[bool] = []
    early: list[bool] = []

    async def wait() -> None:
        async with condition:
            results.append(await condition.wait_async())

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(lambda: waiters(condition) == 1)
            blocked.set()
            unblock.wait(TIMEOUT)
            for _ in range(20):
                await anyio.sleep(0)
            early.extend(results)
            notify(condition)

    thread = threading.Thread(target=lambda: run(loop, main))
    thread.start()
    assert blocked.wait(TIMEOUT)
    other = Waiting(condition)
    notify(condition)
    assert other.ended() is True
    unblock.set()
    thread.join(TIMEOUT)
    assert (early, results) == ([], [True])


def test_a_waiter_that_came_later_does_not_get_it() -> None:
    condition = new()
    stopped = Stopped(condition)
    notify(condition)
    thread = Waiting(condition)
    stopped.wait_until_it_does_not_respond()
    assert waiters(condition) == 1
    stopped.turn()
    assert stopped.task.result() is True
    assert waiters(condition) == 1
    notify(condition)
    assert thread.ended() is True
    stopped.close()


def test_the_next_loop_that_responds_gets_it() -> None:
    """Also if both have been silent for long when the notification is sent."""
    condition = new()
    first, second, third = (Stopped(condition) for _ in range(3))
    for each in (first, second, third):
        each.wait_until_it_does_not_respond()
    notify(condition)
    second.turn()
    assert second.task.result() is True
    first.turn()
    third.turn()
    assert not first.task.done()
    assert not third.task.done()
    notify(condition, 2)
    first.turn()
    third.turn()
    assert first.task.result() is third.task.result() is True
    for each in (first, second, third):
        each.close()


def test_as_many_are_notified_as_were_asked_for() -> None:
    condition = new()
    stopped = [Stopped(condition) for _ in range(3)]
    threads = [Waiting(condition) for _ in range(3)]
    notify(condition, 4)
    assert [each.ended() for each in threads] == [True] * 3
    for each in stopped:
        each.wait_until_it_does_not_respond()
    for each in stopped:
        each.turn()
    assert sum(each.task.done() for each in stopped) == 1
    for each in stopped:
        each.close()


def test_a_task_that_waits_for_its_lock_again_loses_it() -> None:
    condition = new()
    stopped, thread = Stopped(condition), Waiting(condition)
    with condition:
        condition.notify()
        stopped.turn()  # it has seen the notification, and waits for the lock
    assert thread.ended() is True
    stopped.turn()
    assert not stopped.task.done()
    stopped.close()
    assert condition._lock.acquire(False)


def test_a_task_keeps_its_limit() -> None:
    """A notification that lapses makes the task wait again until its deadline."""
    condition = new()

    async def wait() -> bool:
        async with condition:
            return await condition.wait_async(0.001)

    stopped = Stopped(condition)
    notify(condition)
    stopped.turn()
    loop = stopped.loop
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    thread = Waiting(condition)
    notify(condition)
    assert thread.ended() is True
    assert loop.run_until_complete(task) is False
    stopped.close()


def test_a_cancelled_task_that_has_lost_it_passes_nothing_on() -> None:
    condition = new()
    stopped, thread = Stopped(condition), Waiting(condition)
    notify(condition)
    assert thread.ended() is True
    other = Waiting(condition)
    stopped.task.cancel()
    stopped.turn()
    assert stopped.task.cancelled()
    assert waiters(condition) == 1
    notify(condition)
    assert other.ended() is True
    stopped.close()


def test_all_are_notified() -> None:
    condition = new()
    stopped = [Stopped(condition) for _ in range(2)]
    threads = [Waiting(condition) for _ in range(2)]
    with condition:
        condition.notify_all()
    assert [each.ended() for each in threads] == [True] * 2
    for each in stopped:
        each.wait_until_it_does_not_respond()
    for each in stopped:
        each.turn()
        assert each.task.result() is True
        each.close()


def test_a_condition_opened_while_the_loop_is_stopped() -> None:
    condition = new()
    stopped, thread = Stopped(condition), Waiting(condition)
    notify(condition)
    condition.__dict__  # opens it
    stopped.wait_until_it_does_not_respond()
    assert len(condition._waiters) == 1
    stopped.turn()
    assert stopped.task.done()
    notify(condition)
    assert thread.ended() is True
    stopped.close()
