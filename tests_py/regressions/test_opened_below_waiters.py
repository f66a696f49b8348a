"""An object is opened while threads wait: all waits end in order, as they would have."""

from __future__ import annotations

import os
import threading

import pytest

import golock
from waiting import asleep_in_kernel, asleep_on, join, start, wait_until, waiters


def waits(primitive, thread, number):
    """Return whether a thread waits, the one of this number from 1 on, and not for the GIL."""
    if isinstance(primitive, golock.Condition):
        return waiters(primitive) == number
    if isinstance(primitive, golock.Semaphore):
        return asleep_on(primitive, thread)
    if isinstance(primitive, golock.Barrier):
        return primitive.n_waiting == number and asleep_in_kernel(thread)
    return asleep_in_kernel(thread)  # or for the GIL: an event does not know its waiters


def wait_each(primitive, count, wait, before=0):
    """Start threads, each when the previous one waits."""
    threads = []
    for number in range(count):
        threads.append(start(wait, number))
        wait_until(
            lambda number=number: waits(primitive, threads[-1], before + number + 1), "it waits"
        )
    return threads


def test_semaphore():
    semaphore, got = golock.Semaphore(0), []
    threads = wait_each(semaphore, 3, lambda number: got.append(semaphore.acquire()))
    vars(semaphore)
    semaphore.release(2)
    wait_until(lambda: len(got) == 2, "two go on")
    with semaphore._cond:
        semaphore._value += 1
        semaphore._cond.notify()
    join(threads)
    assert (got, semaphore._value) == ([True] * 3, 0)


def test_semaphore_times_out():
    semaphore, got = golock.Semaphore(0), []
    (waiter,) = wait_each(semaphore, 1, lambda _: got.append(semaphore.acquire(timeout=1)))
    vars(semaphore)
    join([waiter])
    assert (got, len(semaphore._cond._waiters)) == ([False], 0)


def test_condition_in_order():
    condition, order = golock.Condition(), []

    def wait(number):
        with condition:
            condition.wait()
            order.append(number)

    threads = wait_each(condition, 3, wait)
    assert len(condition._waiters) == 3
    threads += wait_each(condition, 2, lambda number: wait(number + 3), before=3)
    assert len(condition._waiters) == 5
    for number in range(5):
        with condition:
            condition.notify()
        join([threads[number]])
    assert order == [0, 1, 2, 3, 4]


def test_condition_times_out():
    condition, got = golock.Condition(), []

    def wait(_):
        with condition:
            got.append(condition.wait(1))

    (waiter,) = wait_each(condition, 1, wait)
    assert len(condition._waiters) == 1
    join([waiter])
    assert (got, len(condition._waiters)) == ([False], 0)


def test_event():
    event, got = golock.Event(), []
    threads = wait_each(event, 3, lambda _: got.append(event.wait()))
    wait_until(lambda: len(event._cond._waiters) == 3, "all wait")
    event.set()
    join(threads)
    assert got == [True] * 3


def test_event_times_out():
    event, got = golock.Event(), []
    (waiter,) = wait_each(event, 1, lambda _: got.append(event.wait(1)))
    wait_until(lambda: len(event._cond._waiters) == 1, "it waits")
    join([waiter])
    assert (got, len(event._cond._waiters)) == ([False], 0)


def barrier_with_two_below():
    barrier, got = golock.Barrier(3), []

    def wait(_):
        try:
            got.append(barrier.wait())
        except threading.BrokenBarrierError:
            got.append("broken")

    threads = wait_each(barrier, 2, wait)
    assert (barrier._count, len(barrier._cond._waiters)) == (2, 2)
    return barrier, got, threads


def test_barrier():
    barrier, got, threads = barrier_with_two_below()
    assert barrier.wait() == 2
    join(threads)
    assert (sorted(got), barrier._state, barrier._count) == ([0, 1], 0, 0)


@pytest.mark.parametrize("end", ["abort", "reset"])
def test_barrier_broken(end):
    barrier, got, threads = barrier_with_two_below()
    getattr(barrier, end)()
    join(threads)
    assert (got, barrier._count) == (["broken"] * 2, 0)


def test_barrier_with_fewer_parties():
    barrier, got, threads = barrier_with_two_below()
    barrier._parties = 2
    with barrier._cond:
        barrier._release()
    join(threads)
    assert sorted(got) == [0, 1]


HANDLER = """
import os, signal, sys, threading
import golock
class Stop(Exception): pass
places = []
def handler(signum, frame):
    places.append((frame, frame.f_lasti))
    if places[-3:] != places[-1:] * 3:
        return  # the main thread does not wait yet
    signal.setitimer(signal.ITIMER_REAL, 0)
    vars(it)
    if sys.argv[2] == 'raises':
        raise Stop
    if sys.argv[2] == 'forks':
        child = os.fork()
        if child == 0:
            wake()
            return
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    threading.Thread(target=wake).start()
signal.signal(signal.SIGALRM, handler)
it = {'Condition': golock.Condition, 'Event': golock.Event,
      'Semaphore': lambda: golock.Semaphore(0), 'Barrier': lambda: golock.Barrier(2)}[sys.argv[1]]()
def wake():
    if sys.argv[1] == 'Condition':
        with it: it.notify()
    else:
        {'Event': lambda: it.set(), 'Semaphore': lambda: it.release(),
         'Barrier': lambda: it.wait()}[sys.argv[1]]()
def wait():
    if sys.argv[1] == 'Condition':
        with it: return it.wait(60)
    return it.acquire() if sys.argv[1] == 'Semaphore' else it.wait(60)
parent = os.getpid()
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
try:
    result = wait()
except Stop:
    result = 'stopped'
if os.getpid() != parent:
    os._exit(7 if result is True else 8)
print(result)
"""


@pytest.mark.parametrize("kind", ["Condition", "Event", "Semaphore", "Barrier"])
def test_by_a_signal_handler(python, check, kind):
    """The handler then starts a thread that ends the wait."""
    check(python(HANDLER, kind, "wakes"), "0\n" if kind == "Barrier" else "True\n")


@pytest.mark.parametrize("kind", ["Condition", "Event", "Semaphore", "Barrier"])
def test_by_a_signal_handler_that_raises(python, check, kind):
    check(python(HANDLER, kind, "raises"), "stopped\n")


@pytest.mark.parametrize("kind", ["Event", "Semaphore"])
def test_by_a_signal_handler_that_forks(python, check, kind):
    """The wait goes on in both processes, and can be ended in each."""
    check(python(HANDLER, kind, "forks", env={**os.environ, "PYTHONWARNINGS": "ignore"}), "True\n")
