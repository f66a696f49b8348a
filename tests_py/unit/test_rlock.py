"""RLocks between threads: owner, recursion, waiting."""

from __future__ import annotations

import time

import pytest

import golock
from waiting import asleep_on, join, start, wait_until

pytestmark = pytest.mark.usefixtures("restored_handoff")


def test_only_the_last_release_frees_it():
    lock, taken = golock.RLock(), []
    for _ in range(3):
        assert lock.acquire()
    thread = start(lambda: (taken.append(lock.acquire()), lock.release()))
    for _ in range(3):
        wait_until(lambda: asleep_on(lock, thread), "the other waits")
        assert taken == []
        lock.release()
    join([thread])
    assert taken == [True]
    assert not lock._is_owned()


def test_another_thread_may_not_release():
    lock, errors = golock.RLock(), []

    def release():
        try:
            lock.release()
        except RuntimeError as error:
            errors.append(str(error))

    with lock:
        join([start(release)])
        assert lock._is_owned()
    assert errors == ["cannot release un-acquired lock"]
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early_and_leaves_the_lock_alone(timeout):
    lock, answers = golock.RLock(), []

    def wait():
        before = time.monotonic_ns()
        answers.append(lock.acquire(timeout=timeout))
        answers.append(time.monotonic_ns() - before >= timeout * 1e9)

    with lock:
        join([start(wait)])
        assert lock._is_owned()
        assert lock.acquire(timeout=timeout)
        lock.release()
    assert answers == [False, True]


@pytest.mark.parametrize("threshold", [0, 0.001])
@pytest.mark.parametrize("threads", [2, 8])
def test_never_two_inside(threads, threshold):
    golock.set_handoff(threshold)
    rounds, lock, inside, shared = 1500, golock.RLock(), [], {"count": 0}

    def work(way):
        for i in range(rounds):
            if (way + i) % 2:
                while not lock.acquire(timeout=0.0005):
                    pass
            else:
                lock.acquire()
            with lock, lock:
                inside.append(way)
                count = shared["count"]
                if i % 50 == 0:
                    time.sleep(0)
                shared["count"] = count + 1
                assert inside == [way]
                assert lock._is_owned()
                inside.clear()
            assert lock._is_owned()
            lock.release()
            assert not lock._is_owned()

    join([start(work, way) for way in range(threads)])
    assert shared["count"] == threads * rounds


def test_first_come_first_served_with_a_threshold_of_zero():
    golock.set_handoff(0)
    lock, order, threads = golock.RLock(), [], []

    def work(number):
        with lock, lock:
            order.append(number)

    with lock:
        for number in range(10):
            threads.append(start(work, number))
            wait_until(lambda: asleep_on(lock, threads[-1]), "the waiter sleeps")
    join(threads)
    assert order == [*range(10)]


def test_saved_and_restored():
    lock, taken = golock.RLock(), []
    for _ in range(3):
        lock.acquire()
    state = lock._release_save()
    assert not lock._is_owned()
    thread = start(lambda: taken.append(lock.acquire()) or lock.release())
    join([thread])
    lock._acquire_restore(state)
    for _ in range(3):
        assert lock._is_owned()
        lock.release()
    assert not lock._is_owned()
    with pytest.raises(RuntimeError):
        lock._release_save()


def test_derived_class():
    class Counting(golock.RLock):
        count = 0

        def acquire(self, *args, **kwargs):
            self.count += 1
            return super().acquire(*args, **kwargs)

    lock = Counting()
    assert lock.acquire()
    assert lock.count == 1
    lock.release()
