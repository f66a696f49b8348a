"""Code that a primitive calls opens it: the call goes on as the interpreter's does."""

from __future__ import annotations

import threading

import pytest

import golock
from waiting import join, start, wait_until, waiters

EACH = pytest.mark.parametrize("module", [golock, threading], ids=lambda module: module.__name__)


@EACH
def test_a_predicate(module):
    condition, looked = module.Condition(), []

    def predicate():
        looked.append(len(condition._waiters))
        return len(looked) > 2

    with condition:
        assert condition.wait_for(predicate, 0.01) is False
        assert condition.wait_for(predicate, 0.01) is True
    assert looked == [0, 0, 0]


@EACH
def test_a_predicate_that_replaces_wait(module):
    condition, waited = module.Condition(), []

    def predicate():
        condition.wait = waited.append
        return bool(waited)

    with condition:
        assert condition.wait_for(predicate) is True
    assert waited == [None]


@EACH
def test_a_barriers_action(module):
    states = []
    barrier = module.Barrier(2, lambda: states.append((barrier._state, barrier._count)))
    got = []
    waiter = start(lambda: got.append(barrier.wait()))
    wait_until(lambda: barrier.n_waiting == 1, "the first waits")
    got.append(barrier.wait())
    join([waiter])
    assert (states, sorted(got), barrier._count) == ([(0, 2)], [0, 1], 0)


@EACH
def test_a_barriers_action_that_raises(module):
    def action():
        vars(barrier)
        raise ZeroDivisionError

    barrier, got = module.Barrier(2, action), []

    def wait():
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()
        got.append("broken")

    waiter = start(wait)
    wait_until(lambda: barrier.n_waiting == 1, "the first waits")
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    join([waiter])
    assert (got, barrier._state, barrier._count) == (["broken"], -2, 0)


def test_the_number_of_a_timeout():
    class Opens:
        def __gt__(self, other):
            opened.append(len(condition._waiters))
            return False

        def __le__(self, other):  # used by 3.14
            opened.append(len(condition._waiters))
            return True

    condition, opened = golock.Condition(), []
    with condition:
        assert condition.wait(Opens()) is False
    assert opened
    assert waiters(condition) == 0
