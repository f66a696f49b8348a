"""A mock of Condition's methods is called where the interpreter's classes wait at a condition.

They were bypassed: a native semaphore, event or barrier waited for real.
"""

from __future__ import annotations

from unittest import mock

import golock


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
    with golock.shared(event):  # which only a native one can be
        pass
