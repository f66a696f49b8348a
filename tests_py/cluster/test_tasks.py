"""golock.etcd.Lock in the tasks of event loops, beside threads and processes."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import anyio
import pytest

from event_loops import each_loop, run
from slow_proxy import SlowProxy
from waiting import start, wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


@each_loop
def test_acquire_and_release(loop, name):
    async def main():
        lock, other = etcd.Lock(name), etcd.Lock(name)
        assert await lock.acquire_async() is True
        assert lock.locked()
        assert not lock.lost
        token = lock.token
        assert await other.acquire_async(timeout=0.05) is False
        assert await other.acquire_async(timeout=0) is False
        await lock.release_async()
        async with other as entered:
            assert entered is other
            assert other.token > token
        assert not other.locked()
        with pytest.raises(RuntimeError):
            await other.release_async()

    run(loop, main)


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), (1e300, OverflowError)])
def test_arguments(name, timeout, error):
    async def main():
        with pytest.raises(error):
            await etcd.Lock(name).acquire_async(timeout)

    run("asyncio", main)


def test_nothing_is_taken_before_the_await(name):
    lock = etcd.Lock(name)
    lock.acquire_async().close()
    assert lock.acquire(blocking=False)
    lock.release()


@each_loop
def test_the_loop_goes_on(loop, name):
    """The task that would free the lock runs while another one waits for it."""

    async def main():
        lock, waiting = etcd.Lock(name), etcd.Lock(name)
        await lock.acquire_async()
        async with anyio.create_task_group() as group:
            group.start_soon(waiting.acquire_async)
            await anyio.sleep(0.01)  # the loop runs the other task; both orders must do
            await lock.release_async()
        await waiting.release_async()

    run(loop, main)


@each_loop
def test_the_loop_goes_on_while_etcd_is_slow(loop, name, endpoint):
    """To connect, to acquire and to release all take longer than a turn of the loop."""
    proxy = SlowProxy(endpoint, 0.05)
    turns = dict.fromkeys(("acquire", "release"), 0)

    async def count(what):
        while True:
            turns[what] += 1
            await anyio.sleep(0)

    async def main():
        lock = etcd.Lock(name, endpoints=proxy.address)
        for what, do in (("acquire", lock.acquire_async), ("release", lock.release_async)):
            async with anyio.create_task_group() as group:
                group.start_soon(count, what)
                await do()
                group.cancel_scope.cancel()

    run(loop, main)
    proxy.close()
    assert min(turns.values()) > 10, turns


@each_loop
def test_cancelled_when_acquired(loop, name, monkeypatch):
    """The lock was granted, and the task ends before it learns of that."""

    class Ended(BaseException):
        pass

    class EndedCall(etcd.Call):
        async def wait_async(self, timeout=None):
            if self.function == "acquire":
                await self._event.wait_async()
                raise Ended
            return await super().wait_async(timeout)

        def __init__(self, library, function, *arguments, **options):
            self.function = "acquire" if function is library.begin_acquire else "other"
            super().__init__(library, function, *arguments, **options)

    async def main():
        lock = etcd.Lock(name)
        with monkeypatch.context() as patched:
            patched.setattr(etcd, "Call", EndedCall)
            with pytest.raises(Ended):
                await lock.acquire_async()
        assert not lock.locked()
        async with etcd.Lock(name):
            pass

    run(loop, main)


@each_loop
def test_cancellations_at_all_moments(loop, name):
    async def work(lock):
        for _ in range(60):
            with anyio.move_on_after(random.uniform(0, 0.006)):
                async with lock:
                    await anyio.sleep(0)

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(work, etcd.Lock(name))

    run(loop, main)
    lock = etcd.Lock(name)
    assert lock.acquire(timeout=30)
    lock.release()
    wait_until(lambda: lock.holder() is None, "no key is left")


def test_lost(name):
    async def main():
        lock = etcd.Lock(name)
        await lock.acquire_async()
        with etcd.Lock("of somebody") as other:
            other.guard(etcd.Txn().delete(lock.key))  # as somebody with etcdctl
        with pytest.raises(etcd.LockLost):
            await lock.release_async()

    run("asyncio", main)


@pytest.mark.parametrize("user", ["", "somebody:secret"], ids=["no user", "user"])
def test_errors(name, user):
    async def main():
        lock = etcd.Lock(name, endpoints="127.0.0.1:1", user=user, patience=0.1)
        with pytest.raises(etcd.EtcdError, match=r"127\.0\.0\.1:1: .*refused"):
            await lock.acquire_async()
        assert await lock.acquire_async(timeout=0.01) is False

    run("asyncio", main)


def test_tasks_threads_and_processes_exclude_each_other(name, tmp_path):
    count = tmp_path / "count"
    count.write_text("0")
    program = textwrap.dedent("""
        import asyncio, sys, threading
        import golock.etcd

        def add():
            with open(sys.argv[2]) as file:
                n = int(file.read())
            with open(sys.argv[2], "w") as file:
                file.write(str(n + 1))

        def thread():
            lock = golock.etcd.Lock(sys.argv[1])
            for _ in range(25):
                with lock:
                    add()

        async def task():
            lock = golock.etcd.Lock(sys.argv[1])
            for _ in range(25):
                async with lock:
                    add()

        async def main():
            await asyncio.gather(task(), task())

        threads = [threading.Thread(target=thread)]
        threads += [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2)]
        for each in threads: each.start()
        for each in threads: each.join()
    """)
    command = [sys.executable, "-c", program, name, str(count)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [each.wait(120) for each in processes] == [0, 0, 0]
    assert count.read_text() == str(3 * 5 * 25)


@each_loop
def test_tasks_wait_in_the_line_of_the_process(loop, name, monkeypatch):
    """They have the key of the thread that held the lock before."""
    found, waiting = [], []

    def begin(*arguments):
        begin_acquire(*arguments)
        waiting.append(None)

    async def work():
        mine = etcd.Lock(name, handoff=3600)
        async with mine:
            found.append(mine.revision)

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(work)

    lock = etcd.Lock(name, handoff=3600)
    lock.acquire()
    revision = lock.revision
    library = etcd._this.library
    begin_acquire = library.begin_acquire
    monkeypatch.setattr(library, "begin_acquire", begin)
    tasks = start(run, loop, main)
    wait_until(lambda: len(waiting) == 3, "the tasks wait")
    lock.release()
    tasks.join(30)
    assert found == [revision] * 3
