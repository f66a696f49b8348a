"""Mocked methods of Condition are called wherever the interpreter's classes call them.

A native semaphore, event or barrier bypassed them: it really waited, and notified without them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from unittest import mock

import pytest

import golock

# Run with golock and without it, to compare how often the mock is called.
CALLS: dict[str, Callable[[object], object]] = {
    "Semaphore.release": lambda module: module.Semaphore().release(),
    "Semaphore.release of two": lambda module: module.Semaphore().release(2),
    "Semaphore.__exit__": lambda module: module.Semaphore().__exit__(None, None, None),
    "BoundedSemaphore.release": lambda module: _use(module.BoundedSemaphore()),
    "Event.set": lambda module: module.Event().set(),
    "Barrier.wait": lambda module: module.Barrier(1).wait(),
    "Barrier.abort": lambda module: module.Barrier(1).abort(),
    "Barrier.reset": lambda module: module.Barrier(1).reset(),
    "Condition.notify_all": lambda module: _notify_all(module.Condition()),
}


def _use(semaphore):
    semaphore.acquire()
    semaphore.release()


def _notify_all(condition):
    condition.acquire()
    condition.notify_all()


def calls(module, name: str, call: Callable[[object], object]) -> list[object]:
    with mock.patch.object(module.Condition, name) as mocked:
        call(module)
    return mocked.call_args_list


@pytest.mark.parametrize("name", ["notify", "notify_all"])
@pytest.mark.parametrize("call", CALLS)
def test_notified_as_by_the_interpreters(call: str, name: str):
    assert calls(golock, name, CALLS[call]) == calls(threading, name, CALLS[call])


def test_made_before_the_mock():
    semaphore, event = golock.Semaphore(), golock.Event()
    with mock.patch.object(golock.Condition, "notify") as notify:
        semaphore.release()
    with mock.patch.object(golock.Condition, "notify_all") as notify_all:
        event.set()
    assert (notify.call_count, notify_all.call_count) == (1, 1)
    assert semaphore._value == 2


def test_semaphore():
    semaphore = golock.Semaphore(0)

    def wait(timeout):
        semaphore._value = 1

    with mock.patch.object(golock.Condition, "wait", side_effect=wait) as mocked:
        assert semaphore.acquire(timeout=100)
    assert mocked.call_count == 1


def test_event():
    event = golock.Event()
    with mock.patch.object(golock.Condition, "wait", return_value="mocked") as mocked:
        assert event.wait(100) == "mocked"
    assert mocked.call_args == mock.call(100)


def test_barrier():
    barrier = golock.Barrier(2)

    def wait_for(predicate, timeout):
        barrier._state = 1
        return predicate()

    with mock.patch.object(golock.Condition, "wait_for", side_effect=wait_for) as mocked:
        assert barrier.wait(100) == 0
    assert mocked.call_count == 1


def test_afterwards_others_are_native_again():
    with mock.patch.object(golock.Condition, "wait"):
        pass
    event = golock.Event()
    assert not event.wait(0.001)
    with golock.shared(event):  # only a native one can be shared
        pass
