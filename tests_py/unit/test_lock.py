"""The lock between threads: exclusion, waiting, time-outs, order."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref

import pytest

import golock
from waiting import asleep_on, start, wait_until


def test_object_is_small():
    assert sys.getsizeof(golock.allocate_lock()) <= sys.getsizeof(object()) + 48


@pytest.mark.parametrize("kind", [golock.allocate_lock, golock.RLock])
def test_weak_reference_dies_with_the_lock(kind):
    lock = kind()
    reference = weakref.ref(lock)
    assert reference() is lock
    del lock
    gc.collect()
    assert reference() is None


def test_waiter_gets_the_lock_when_it_is_released():
    lock = golock.allocate_lock()
    lock.acquire()
    taken = []
    thread = start(lambda: taken.append(lock.acquire()))
    wait_until(lambda: asleep_on(lock, thread), "the waiter sleeps")
    assert taken == []
    lock.release()
    thread.join()
    assert taken == [True]
    assert lock.locked()


def test_another_thread_may_release():
    lock = golock.allocate_lock()
    lock.acquire()
    start(lock.release).join()
    assert not lock.locked()


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early_and_leaves_the_lock_alone(timeout):
    lock = golock.allocate_lock()
    lock.acquire()
    before = time.monotonic_ns()
    assert lock.acquire(timeout=timeout) is False
    assert time.monotonic_ns() - before >= timeout * 1e9
    assert lock.locked()
    lock.release()
    assert lock.acquire(False)


def test_waiter_with_a_timeout_gets_the_lock():
    lock = golock.allocate_lock()
    lock.acquire()
    taken = []
    thread = start(lambda: taken.append(lock.acquire(timeout=60)))
    wait_until(lambda: asleep_on(lock, thread), "the waiter sleeps")
    lock.release()
    thread.join()
    assert taken == [True]


@pytest.mark.parametrize("threshold", [0, 0.001])
@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.usefixtures("restored_handoff")
def test_never_two_inside(threads, threshold):
    golock.set_handoff(threshold)
    rounds = 3000
    lock = golock.allocate_lock()
    inside = []
    shared = {"count": 0}

    def work(way):
        for i in range(rounds):
            if (way + i) % 3 == 0:
                while not lock.acquire(timeout=0.0005):
                    pass
            elif (way + i) % 3 == 1:
                while not lock.acquire(False):
                    time.sleep(0)
            else:
                lock.acquire()
            inside.append(way)
            count = shared["count"]
            if i % 50 == 0:
                time.sleep(0)  # releases the GIL inside
            shared["count"] = count + 1
            assert inside == [way]
            inside.clear()
            lock.release()

    workers = [start(work, way) for way in range(threads)]
    for worker in workers:
        worker.join()
    assert shared["count"] == threads * rounds
    assert not lock.locked()


@pytest.mark.usefixtures("restored_handoff")
def test_first_come_first_served_with_a_threshold_of_zero():
    golock.set_handoff(0)
    lock = golock.allocate_lock()
    lock.acquire()
    order = []

    def work(number):
        for _ in range(10):
            with lock:
                order.append(number)

    workers = []
    for number in range(10):
        workers.append(start(work, number))
        wait_until(lambda: asleep_on(lock, workers[-1]), "the waiter sleeps")
    lock.release()
    for worker in workers:
        worker.join()
    assert order[:10] == [*range(10)]


def test_waiter_is_not_starved_by_a_thread_that_takes_the_lock_again_and_again():
    lock = golock.allocate_lock()
    stop = threading.Event()

    def barge():
        while not stop.is_set():
            with lock:
                pass

    barger = start(barge)
    try:
        for _ in range(20):
            assert lock.acquire(timeout=60)
            lock.release()
    finally:
        stop.set()
        barger.join()


def test_handoff_does_not_need_the_switch_interval(python, check):
    """The thread that has the GIL watches the clock; it hands over the lock, then the GIL."""
    result = python(
        """
import sys, threading, time
import golock
lock = golock.allocate_lock()
rounds = []
def work():
    for _ in range(5):
        with lock:
            rounds.append(1)
lock.acquire()
worker = threading.Thread(target=work)
worker.start()
while not lock.locked() or open(f'/proc/self/task/{worker.native_id}/syscall').read()[:3] == 'run':
    time.sleep(0.001)
sys.setswitchinterval(1000)
lock.release()
give_up = time.monotonic() + 20
while len(rounds) < 5 and time.monotonic() < give_up:
    with lock:
        pass
print(len(rounds))
sys.setswitchinterval(0.005)
worker.join()
"""
    )
    check(result, "5\n")


@pytest.mark.usefixtures("restored_handoff")
def test_handoff_threshold():
    for seconds in (0, 0.25, 3, 1e-9):
        golock.set_handoff(seconds)
        assert golock.get_handoff() == seconds
    for wrong, error in ((-1, ValueError), (float("nan"), ValueError), (1e300, OverflowError),
                         ("1", TypeError), (None, TypeError)):  # fmt: skip
        with pytest.raises(error):
            golock.set_handoff(wrong)
    assert golock.get_handoff() == 1e-9


def test_handoff_threshold_from_the_environment(python):
    code = "import golock; print(golock.get_handoff())"
    assert python(code, env={**os.environ, "GOLOCK_HANDOFF": "0.25"}).stdout == "0.25\n"
    wrong = python(code, env={**os.environ, "GOLOCK_HANDOFF": "soon"})
    assert wrong.returncode == 1
    assert "ValueError: GOLOCK_HANDOFF is not a number of seconds: 'soon'" in wrong.stderr


def test_condition_over_the_lock():
    condition = threading.Condition(golock.allocate_lock())
    items = []

    def produce():
        for i in range(200):
            with condition:
                items.append(i)
                condition.notify()

    producer = start(produce)
    seen = []
    while len(seen) < 200:
        with condition:
            assert condition.wait_for(lambda: items, timeout=60)
            seen.extend(items)
            items.clear()
    producer.join()
    assert seen == list(range(200))
