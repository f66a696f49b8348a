"""golock.sight: tasks of event loops that wait and hold."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import golock
from golock import sight
from golock.sight import _golock, _image
from golock.sight._image import Image
from waiting import join, start, wait_until


@pytest.fixture(autouse=True)
def _stopped():
    yield
    sight.stop()


def waits_for(thing):
    return [wait for wait in sight.snapshot().waits if wait.lock.id == id(thing)]


def seen(thing):
    (found,) = [each for each in sight.snapshot().locks if each.id == id(thing)]
    return found


async def until(condition):
    """Let the other tasks run until a condition holds."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition does not hold")


async def wait_for_it(lock, timeout=None):
    if await lock.acquire_async(timeout):
        lock.release()


async def with_it(lock):
    async with lock:
        pass


@pytest.mark.parametrize("level", ["waits", "owners"])
@pytest.mark.parametrize("make", [golock.Lock, golock.Semaphore, golock.BoundedSemaphore])
def test_a_task_that_waits(level, make):
    async def main():
        thing = make()
        await thing.acquire_async()
        sight.start(level)
        task = asyncio.create_task(with_it(thing), name="visitor")
        limited = asyncio.create_task(wait_for_it(thing, 1000), name="job 0017")
        await until(lambda: len(waits_for(thing)) == 2)
        wait, other = waits_for(thing)
        assert (wait.thread.kind, wait.thread.name) == ("task", "visitor")
        assert wait.thread.identifier == threading.get_ident()
        threads = {thread.key: thread for thread in sight.snapshot().threads}
        assert threads[wait.thread.loop].name == "MainThread"
        assert threads[wait.thread.key] == wait.thread
        assert wait.seconds >= 0
        assert not wait.limited
        assert wait.stack[-1].function.endswith("with_it")
        assert "async with lock:" in str(wait.stack[-1])
        assert (other.thread.name, other.limited) == ("job 0017", True)
        assert 900 < other.remaining <= 1000
        assert "lock.acquire_async(timeout)" in str(other.stack[-1])
        thing.release()
        await asyncio.gather(task, limited)
        assert waits_for(thing) == []

    asyncio.run(main())


def test_names_that_end_with_a_number():
    async def main():
        lock = golock.Lock()
        await lock.acquire_async()
        sight.start("waits")
        names = ["Task-9", "0", "a07", "007", "b1234567890123", "9" * 30, "", "\N{SNOWMAN}1"]
        tasks = [asyncio.create_task(with_it(lock), name=name) for name in names]
        await until(lambda: len(waits_for(lock)) == len(names))
        found = [wait.thread.name for wait in waits_for(lock)]
        assert found[:6] == names[:6]
        assert found[6].startswith("task ")
        assert found[7] == names[7]
        lock.release()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_task_that_holds():
    async def main():
        sight.start("owners")
        lock = golock.Lock()
        async with lock:
            await asyncio.sleep(0)
            held = seen(lock)
            assert (held.holder.kind, held.holder.name) == ("task", "owner")
            assert held.held_for >= 0
            assert "async with lock:" in str(held.acquired_at[-1])
            other = asyncio.create_task(with_it(lock), name="waiter")
            await until(lambda: waits_for(lock))
            assert waits_for(lock)[0].lock.holder.name == "owner"
        await other
        assert (seen(lock).state, seen(lock).holder) == ("free", None)
        assert not seen(lock).released_by_another
        # One that had to wait holds it as well, and another task that releases it is a stranger.
        await lock.acquire_async()
        other = asyncio.create_task(hold(lock), name="second")
        await until(lambda: waits_for(lock))
        lock.release()
        await until(lambda: seen(lock).holder and seen(lock).holder.name == "second")
        assert "await lock.acquire_async()" in str(seen(lock).acquired_at[-1])
        lock.release()
        await other
        assert seen(lock).released_by_another

    async def hold(lock):
        await lock.acquire_async()
        await until(lambda: not lock.locked())

    async def named():
        await asyncio.create_task(main(), name="owner")

    asyncio.run(named())


def test_a_thread_that_holds_what_a_task_waits_for_and_the_other_way_round():
    sight.start("owners")
    lock, other, done = golock.Lock(), golock.Lock(), threading.Event()

    def hold():
        with lock:
            done.wait()

    holder = start(hold)
    wait_until(lock.locked, "taken")

    async def main():
        task = asyncio.create_task(with_it(lock), name="clerk")
        async with other:
            thread = start(lambda: other.acquire() and other.release())
            await until(lambda: waits_for(lock) and waits_for(other))
            (wait,) = waits_for(lock)
            assert (wait.thread.name, wait.lock.holder.identifier) == ("clerk", holder.ident)
            (wait,) = waits_for(other)
            assert (wait.thread.identifier, wait.lock.holder.kind) == (thread.ident, "task")
            # A thread's own acquire is the thread's, also in a task.
            inner = golock.Lock()
            with inner:
                assert seen(inner).holder.kind == "Python"
        done.set()
        await task
        join([thread])

    asyncio.run(main())
    join([holder])


def test_an_rlock():
    async def main():
        sight.start("waits")
        lock = golock.RLock()
        async with lock:
            assert (seen(lock).state, seen(lock).holder) == ("held", None)
        sight.start("owners")
        async with lock, lock:
            assert (seen(lock).holder.kind, seen(lock).value) == ("task", 2)
            waiter = asyncio.create_task(with_it(lock), name="waiter")
            await until(lambda: waits_for(lock))
            assert waits_for(lock)[0].thread.name == "waiter"
        await waiter
        assert not seen(lock).released_by_another

    asyncio.run(main())


def test_permits():
    async def main():
        sight.start("owners")
        semaphore = golock.Semaphore(2)
        async with semaphore:
            await semaphore.acquire_async()
            waiter = asyncio.create_task(with_it(semaphore), name="third")
            await until(lambda: waits_for(semaphore))
            (permit,) = [p for p in sight.snapshot().permits if p.lock.id == id(semaphore)]
            assert (permit.thread.kind, permit.count) == ("task", 2)
            assert "async with semaphore:" in str(permit.acquired_at[-1])
            semaphore.release()
            await waiter
        assert not [p for p in sight.snapshot().permits if p.lock.id == id(semaphore)]
        assert not seen(semaphore).released_by_another

    asyncio.run(main())


def test_events_and_conditions():
    async def main():
        sight.start("owners")
        event = golock.Event()
        task = asyncio.create_task(event.wait_async(), name="listener")
        await until(lambda: waits_for(event))
        assert waits_for(event)[0].thread.kind == "task"
        event.set()
        await task
        assert waits_for(event) == []

        condition = golock.Condition(lock := golock.Lock())

        async def wait():
            async with condition:
                return await condition.wait_async()

        task = asyncio.create_task(wait(), name="waiter")
        await until(lambda: waits_for(condition))
        (at_condition,) = waits_for(condition)
        assert (at_condition.thread.name, waits_for(lock)) == ("waiter", [])
        assert "condition.wait_async()" in str(at_condition.stack[-1])
        async with condition:
            condition.notify()
            # It is told, and waits for the lock now.
            await until(lambda: waits_for(lock))
            (for_lock,) = waits_for(lock)
            assert (for_lock.thread.name, waits_for(condition)) == ("waiter", [])
        assert await task
        assert waits_for(lock) == []

    asyncio.run(main())


async def take_both(first, second, meeting):
    async with first:
        await meeting.wait()
        async with second:
            pass


async def meet(count):
    """Return what is passed when so many tasks wait for it: asyncio.Barrier is of 3.11."""
    arrived = asyncio.Event()
    waiting = [0]

    class Meeting:
        async def wait(self):
            waiting[0] += 1
            if waiting[0] == count:
                arrived.set()
            await arrived.wait()

    return Meeting()


@pytest.mark.parametrize("count", [2, 5])
def test_a_deadlock_of_tasks(count):
    async def main():
        sight.start("owners", on_deadlock=None)
        locks = [golock.Lock() for _ in range(count)]
        for number, lock in enumerate(locks):
            sight.name(lock, f"L{number}")
        meeting = await meet(count)
        tasks = [
            asyncio.create_task(
                take_both(locks[number], locks[(number + 1) % count], meeting), name=f"T{number}"
            )
            for number in range(count)
        ]
        await until(sight.deadlocks)
        (deadlock,) = sight.deadlocks()
        assert len(deadlock.waits) == count
        assert {(wait.thread.name, wait.lock.name) for wait in deadlock.waits} == {
            (f"T{number}", f"L{(number + 1) % count}") for number in range(count)
        }
        assert not deadlock.certain
        text = str(deadlock)
        assert text.startswith(f"Possible deadlock of {count} tasks:\n")
        assert "for L1, which T1 holds:" in text
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sight.deadlocks() == ()

    asyncio.run(main())


def test_a_task_and_a_thread():
    sight.start("owners", on_deadlock=None)
    one, other = golock.Lock(), golock.Lock()
    sight.name(one, "one")
    sight.name(other, "other")
    taken, go_on = threading.Event(), threading.Event()

    def thread():
        with other:
            taken.set()
            go_on.wait()
            if one.acquire(timeout=1000):
                one.release()

    async def main():
        worker = start(thread)
        async with one:
            taken.wait()
            go_on.set()
            assert sight.deadlocks() == ()
            task = asyncio.current_task()
            found = []

            def look():
                wait_until(sight.deadlocks, "found")
                found.extend(sight.deadlocks())
                loop.call_soon_threadsafe(task.cancel)

            loop = asyncio.get_running_loop()
            looker = start(look)
            with pytest.raises(asyncio.CancelledError):
                await other.acquire_async()
        join([worker, looker])
        (deadlock,) = found
        kinds = {wait.thread.kind: wait.lock.name for wait in deadlock.waits}
        assert kinds == {"task": "other", "Python": "one"}
        assert not deadlock.certain
        assert str(deadlock).startswith("Possible deadlock of 2 threads and tasks:")

    asyncio.run(main())


def test_no_deadlock_while_the_holder_does_something_else():
    """The task that has the lock sleeps; that of the lock it waited for before is not its wait."""

    async def main():
        sight.start("owners", on_deadlock=None)
        one, other = golock.Lock(), golock.Lock()

        async def first():
            async with one:
                await wait_for_it(other, 0.001)
                await asyncio.sleep(1000)

        async def second():
            async with other, one:
                pass

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await until(lambda: len(waits_for(one)) == 1 and not waits_for(other))
        assert sight.deadlocks() == ()
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_it_is_told():
    """Without a thread that waits: the waits of tasks start what looks for deadlocks."""
    code = """
        import asyncio, golock, golock.sight

        golock.sight.start("owners", threshold=0.05)
        locks = [golock.Lock(), golock.Lock()]
        golock.sight.name(locks[0], "first")
        golock.sight.name(locks[1], "second")

        async def take(one, other):
            async with one:
                await asyncio.sleep(0)
                async with other:
                    pass

        async def main():
            one = asyncio.create_task(take(*locks), name="clerk")
            other = asyncio.create_task(take(*reversed(locks)), name="Task-77")
            await asyncio.to_thread(input)
            one.cancel()
            await asyncio.wait([one, other])

        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        first = process.stderr.readline()
        rest = process.stderr.readline()
        process.stdin.write("\n")
        process.stdin.close()
        assert "Possible deadlock of 2 tasks:" in first
        assert re.search(r" has waited \d+\.\d s for ", rest)
        assert process.wait() == 0


def test_trio():
    trio = pytest.importorskip("trio")

    async def with_both(first, second, meeting):
        async with first:
            meeting.append(1)
            while len(meeting) < 2:
                await trio.sleep(0)
            async with second:
                pass

    async def main():
        sight.start("owners", on_deadlock=None)
        one, other, meeting = golock.Lock(), golock.Lock(), []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(with_both, one, other, meeting, name="clerk")
            nursery.start_soon(with_both, other, one, meeting, name="packer")
            with trio.fail_after(30):
                while not sight.deadlocks():
                    await trio.sleep(0)
            (deadlock,) = sight.deadlocks()
            assert {wait.thread.name for wait in deadlock.waits} == {"clerk", "packer"}
            assert {wait.thread.kind for wait in deadlock.waits} == {"task"}
            assert {wait.lock.holder.name for wait in deadlock.waits} == {"clerk", "packer"}
            assert "async with second:" in str(deadlock.waits[0].stack[-1])
            nursery.cancel_scope.cancel()
        assert (seen(one).holder, seen(other).holder) == (None, None)
        assert not seen(one).released_by_another

    trio.run(main)


def test_tasks_that_have_ended_leave_nothing():
    """A task at the address of one that has ended is another one."""

    async def main():
        sight.start("owners")
        lock = golock.Lock()
        keys = set()

        async def take():
            async with lock:
                keys.add(seen(lock).holder.key)

        for number in range(2000):
            await asyncio.create_task(take(), name=f"brief {number}")
        assert len(keys) == 2000
        gc.collect()
        names = [each.name for each in sight.snapshot().threads if each.kind == "task"]
        assert not any(name.startswith("brief") for name in names)
        # The records of ended tasks are used again.
        recorded = Image(_golock.sight_image(0)).threads.keys()
        assert len([key for key in recorded if key & _image.TASK]) <= 512

    asyncio.run(main())


def test_off_nothing_is_recorded():
    async def main():
        lock = golock.Lock()
        async with lock:
            task = asyncio.create_task(with_it(lock))
            await asyncio.sleep(0)
            sight.start("owners")
            assert waits_for(lock) == []
        await task

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_made_by_fork_has_no_tasks():
    async def main():
        sight.start("owners")
        lock = golock.Lock()
        async with lock:
            waiter = asyncio.create_task(with_it(lock), name="waiter")
            await until(lambda: waits_for(lock))
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    assert waits_for(lock) == []
                    assert seen(lock).holder.kind == "lost"
                    waiter.get_coro().close()
                    lock.release()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert len(waits_for(lock)) == 1
        await waiter

    asyncio.run(main())


def test_json():
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(sight.__path__[0], "snapshot.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(schema))

    async def main():
        sight.start("owners")
        lock = golock.Lock()
        async with lock:
            waiter = asyncio.create_task(with_it(lock), name="waiter")
            await until(lambda: waits_for(lock))
            document = json.loads(json.dumps(sight.snapshot().as_json()))
            assert list(validator.iter_errors(document)) == []
            (task,) = [each for each in document["threads"] if each["name"] == "waiter"]
            loops = [each["key"] for each in document["threads"] if each["is_main"]]
            assert (task["kind"], task["loop"]) == ("task", loops[0])
            assert "waiter (task of the loop in MainThread)" in str(sight.snapshot())
        await waiter

    asyncio.run(main())
