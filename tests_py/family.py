"""One class for each primitive, with a common interface for waiting and releasing a waiter.

Unless noted, the methods are for one waiter at a time:

    wait(timeout=None)   Wait until released and return True; return False when time runs out.
    unblock()            Release the waiter, or the next one to come.
    restore()            In a forked child: make the object free, whoever held it in the parent.
    use()                Call everything that one thread can call on a free object without waiting.
    hold()               Make a free object one to wait at. A new object is held.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import golock


class Lock:
    def __init__(self):
        self.object = golock.allocate_lock()
        self.hold()

    def hold(self):
        self.object.acquire()

    def wait(self, timeout=None):
        return self.object.acquire(timeout=-1 if timeout is None else timeout)

    def unblock(self):
        self.object.release()

    def restore(self):
        self.object._at_fork_reinit()

    def use(self):
        with self.object:
            assert self.object.locked()
            assert not self.object.acquire(False)
        assert not self.object.locked()


class RLock:
    """Held by its own thread, which acquires it again after each other owner."""

    def __init__(self):
        self.object = golock.RLock()
        self.hold()

    def hold(self):
        self.passed, self.requests, held = 0, SimpleQueue(), SimpleQueue()
        threading.Thread(target=self.keep, args=[held], daemon=True).start()
        held.get()

    def keep(self, held):
        with self.object:
            held.put(None)
            self.requests.get()
        while True:
            while self.passed == 0:
                time.sleep(0.0001)
            with self.object:
                self.passed = 0
                self.requests.get()

    def wait(self, timeout=None):
        taken = self.object.acquire(timeout=-1 if timeout is None else timeout)
        if taken:
            with self.object:
                self.passed += 1
            self.object.release()
        return taken

    def unblock(self):
        self.requests.put(None)

    def restore(self):
        self.object._at_fork_reinit()

    def use(self):
        with self.object, self.object:
            assert self.object._is_owned()
            self.object._acquire_restore(self.object._release_save())
        assert not self.object._is_owned()


class Condition:
    def __init__(self):
        self.object = self.make()
        self.hold()

    def hold(self):
        self.passes = 0

    def make(self):
        return golock.Condition()

    def wait(self, timeout=None):
        with self.object:
            passed = self.object.wait_for(lambda: self.passes > 0, timeout)
            self.passes -= passed
        return passed

    def unblock(self):
        with self.object:
            self.passes += 1
            self.object.notify()

    def restore(self):
        self.object._at_fork_reinit()

    def use(self):
        with self.object:
            assert self.object._is_owned()
            self.object.notify()
            self.object.notify_all()
            assert self.object.wait_for(lambda: True)


class ConditionOverLock(Condition):
    def make(self):
        return golock.Condition(golock.allocate_lock())


class ConditionOverInterpretersLock(Condition):
    def make(self):
        return golock.Condition(threading.RLock())


class Semaphore:
    def __init__(self):
        self.object = self.make()
        self.hold()

    def hold(self):
        while self.object.acquire(False):
            pass

    def make(self):
        return golock.Semaphore()

    def wait(self, timeout=None):
        return self.object.acquire(timeout=timeout)

    def unblock(self):
        self.object.release()

    def restore(self):
        if self.object._value == 0:
            self.object.release()

    def use(self):
        permits = self.object._value
        with self.object:
            assert self.object._value == permits - 1
        assert self.object._value == permits
        for _ in range(permits):
            assert self.object.acquire()
        assert not self.object.acquire(False)
        for _ in range(permits):
            self.object.release()


class BoundedSemaphore(Semaphore):
    def make(self):
        return golock.BoundedSemaphore()

    def use(self):
        super().use()
        try:
            self.object.release()
        except ValueError:
            return
        raise AssertionError("released past the bound")


class Event:
    def __init__(self):
        self.object = golock.Event()

    def hold(self):
        self.object.clear()

    def wait(self, timeout=None):
        is_set = self.object.wait(timeout)
        if is_set:
            self.object.clear()
        return is_set

    def unblock(self):
        self.object.set()

    def restore(self):
        self.object._at_fork_reinit()
        self.object.clear()

    def use(self):
        assert not self.object.is_set()
        self.object.set()
        assert self.object.is_set()
        assert self.object.wait()
        assert self.object.wait(0)
        self.object.clear()
        assert not self.object.wait(0)


class Barrier:
    """A barrier of two parties: to unblock the waiter is to arrive."""

    broken = threading.BrokenBarrierError  # threading loses it when the interpreter ends

    def __init__(self):
        self.object = golock.Barrier(2)

    def hold(self):
        assert self.object.n_waiting == 0

    def wait(self, timeout=None):
        try:
            self.object.wait(timeout)
        except self.broken:
            self.object.reset()
            return False
        return True

    def unblock(self):
        while not self.wait():
            pass

    def restore(self):
        self.object.reset()

    def use(self):
        assert (self.object.n_waiting, self.object.broken) == (0, False)
        self.object.abort()
        assert self.object.broken
        self.object.reset()
        alone = golock.Barrier(1, self.object.reset)
        assert [alone.wait(), alone.wait()] == [0, 0]


KINDS = {
    kind.__name__: kind
    for kind in (
        Lock,
        RLock,
        Condition,
        ConditionOverLock,
        ConditionOverInterpretersLock,
        Semaphore,
        BoundedSemaphore,
        Event,
        Barrier,
    )
}
