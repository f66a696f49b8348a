"""Whoever catches a KeyboardInterrupt has its traceback, and may acquire the lock at once."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from waiting import wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


def acquire_in_handler(name, do):
    try:
        do()
    except KeyboardInterrupt:
        with etcd.Lock(name) as lock:
            assert not lock.lost
    else:
        pytest.fail("not interrupted")


@pytest.fixture(autouse=True)
def limit():
    """Fail instead of waiting for ever."""
    with pytest.MonkeyPatch.context() as patched:
        acquire = etcd.Lock.acquire

        def limited(self, blocking=True, timeout=10):
            acquired = acquire(self, blocking, timeout)
            assert acquired
            return acquired

        patched.setattr(etcd.Lock, "acquire", limited)
        yield


def test_while_it_is_granted(name, monkeypatch):
    def interrupted(*arguments):
        hold(*arguments)
        raise KeyboardInterrupt

    def acquire():
        with monkeypatch.context() as patched:
            patched.setattr(etcd, "_Hold", interrupted)
            lock.acquire()

    hold = etcd._Hold
    lock = etcd.Lock(name)
    acquire_in_handler(name, acquire)


def test_while_it_is_kept(name, monkeypatch):
    class Interrupted(set):
        def add(self, hold):
            super().add(hold)
            raise KeyboardInterrupt

    lock, process = etcd.Lock(name), etcd._this
    with monkeypatch.context() as patched:
        patched.setattr(process, "holds", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            lock.acquire()
        assert not process.holds
    assert not lock.locked()
    with etcd.Lock(name):
        pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_it_is_released(name, monkeypatch, when):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    def release():
        with monkeypatch.context() as patched:
            if when == "before":
                patched.setattr(etcd, "Call", interrupted)
            else:
                patched.setattr(etcd.Call, "wait", interrupted)
            lock.release()

    lock = etcd.Lock(name)
    lock.acquire()
    acquire_in_handler(name, release)


def test_child_closes_a_waiting_task(name):
    """The child has no library for the call, which it does not end."""

    async def main():
        lock = etcd.Lock(name)
        task = asyncio.ensure_future(lock.acquire_async())
        started = len(etcd._this.library._all_events)
        while len(etcd._this.library._all_events) == started:
            await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            try:
                task.get_coro().close()
                os._exit(0)
            finally:
                os._exit(1)
        ended = []
        thread = threading.Thread(target=lambda: ended.append(os.waitpid(child, 0)[1]))
        thread.start()
        try:
            await asyncio.to_thread(wait_until, lambda: ended, "the child has ended")
        finally:
            if not ended:
                os.kill(child, 9)
            thread.join()
            task.cancel()
        assert ended == [0]

    with etcd.Lock(name):
        while etcd._this.library._events:  # the task gets a new event
            etcd._this.library._events.pop()
        asyncio.run(main())
