"""Whoever catches a KeyboardInterrupt has its traceback, and may acquire the lock at once."""

from __future__ import annotations

import asyncio
import dis
import os
import sys
import threading
from typing import ClassVar

import pytest

from waiting import wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


class Interrupt:
    """Raises KeyboardInterrupt at the n-th place of golock where the interpreter handles signals.

    That is at a function's beginning and after calls.
    """

    PLACES = frozenset(("CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"))
    before: ClassVar[dict] = {}
    """For each code object the instruction before each offset."""

    def __init__(self, n):
        self._left = n
        self.raised = False

    def __call__(self, frame, event, _):
        if not frame.f_code.co_filename.endswith(("/etcd.py", "/_etcd.py")):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and not self.raised and self._is_place(frame.f_code, frame.f_lasti):
            self._left -= 1
            if self._left < 0:
                self.raised = True
                raise KeyboardInterrupt
        return self

    def _is_place(self, code, offset):
        if code not in self.before:
            names, before = self.before.setdefault(code, {}), ""
            for instruction in dis.get_instructions(code):
                names[instruction.offset] = before
                before = instruction.opname
        return self.before[code].get(offset) in self.PLACES


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


@pytest.mark.skipif(sys.version_info < (3, 11), reason="other instructions")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a finalizer
@pytest.mark.parametrize("arguments", [{}, {"on_lost": print}, {"prefix": "{}/"}], ids=str)
def test_at_all_moments(name, arguments):
    """A lock is free, or this object has it and can be released."""

    def interrupted(n):
        prefix = arguments.get("prefix", "golock/").format(f"{name}{n}")
        mine = etcd.Lock(f"{name}{n}", **{**arguments, "prefix": prefix})
        interrupt = Interrupt(n)
        before = sys.gettrace()
        try:
            sys.settrace(interrupt)
            try:
                mine.acquire()
                mine.release()
            finally:
                sys.settrace(before)
        except KeyboardInterrupt:
            if mine.locked():
                mine.release()
            with etcd.Lock(f"{name}{n}", prefix=prefix):
                pass
        return interrupt.raised

    n = 0
    while interrupted(n):
        n += 1
    assert n > 30


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
