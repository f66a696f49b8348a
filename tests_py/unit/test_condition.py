"""Conditions between threads: which waiter is notified, by what, and over which lock."""

from __future__ import annotations

import threading
import time

import pytest

import golock
from waiting import asleep_in_kernel, asleep_on, join, start, times_slept, wait_until, waiters


class OwnLock:
    """The least that a condition needs of a lock; since 3.14 that includes `locked`."""

    def __init__(self):
        self.lock = threading.Lock()

    def acquire(self, *args):
        return self.lock.acquire(*args)

    def release(self):
        self.lock.release()

    def locked(self):
        return self.lock.locked()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *exception):
        self.release()


class OwnRLock(golock.RLock):
    """Counts how often a condition saves and restores it."""

    saves = restores = 0

    def _release_save(self):
        self.saves += 1
        return super()._release_save()

    def _acquire_restore(self, state):
        self.restores += 1
        super()._acquire_restore(state)


LOCKS = {
    "none": lambda: None,
    "Lock": golock.allocate_lock,
    "RLock": golock.RLock,
    "the interpreter's Lock": threading.Lock,
    "the interpreter's RLock": threading.RLock,
    "its RLock in Python": threading._PyRLock,
    "a class": OwnLock,
    "a subclass": OwnRLock,
}


@pytest.fixture(params=LOCKS)
def condition(request):
    return golock.Condition(LOCKS[request.param]())


def wait_in_threads(condition, number, timeout=None):
    """Start threads that wait, one after the other; return them and a list of who returned what."""
    answers, threads = [], []

    def wait(turn):
        with condition:
            answer = condition.wait(timeout)
            answers.append((turn, answer))

    for turn in range(number):
        threads.append(start(wait, turn))
        wait_until(lambda turn=turn: waiters(condition) == turn + 1, "the thread waits")
    return threads, answers


def test_notify_wakes_as_many_as_it_says_in_the_order_of_arrival(condition):
    threads, answers = wait_in_threads(condition, 10)
    woken = 0
    for n in (1, 3, 0, -1, 2):
        if n >= 0:
            with condition:
                condition.notify(n)
                assert waiters(condition) == 10 - woken - n
        woken += max(n, 0)
        wait_until(lambda woken=woken: len(answers) >= woken, "those notified have returned")
        assert sorted(answers) == [(turn, True) for turn in range(woken)]
    with condition:
        condition.notify(100)
    join(threads)
    assert sorted(answers) == [(turn, True) for turn in range(10)]


def test_notify_all(condition):
    threads, answers = wait_in_threads(condition, 10)
    with condition:
        condition.notify_all()
        assert waiters(condition) == 0
        assert answers == []
    join(threads)
    assert sorted(answers) == [(turn, True) for turn in range(10)]


def test_a_notification_is_not_for_those_that_come_later(condition):
    with condition:
        condition.notify_all()
    threads, answers = wait_in_threads(condition, 1)
    with condition:
        condition.notify_all()
        assert condition.wait(0.001) is False
    join(threads)
    assert answers == [(0, True)]


@pytest.mark.parametrize("lock", [golock.allocate_lock, golock.RLock])
def test_notified_after_its_time_and_before_it_has_the_lock(lock):
    """A waiter can be notified until it returns. The interpreter's then returns False."""
    lock, answers = lock(), []
    condition = golock.Condition(lock)

    def wait():
        with condition:
            answers.append(condition.wait(0.02))

    def notify():
        thread = start(wait)
        wait_until(lambda: waiters(condition) or answers, "the thread waits")
        with condition:
            if answers:
                return False  # it timed out too early
            wait_until(lambda: asleep_on(lock, thread), "it timed out, and waits for the lock")
            assert waiters(condition) == 1
            condition.notify()
        join([thread])
        return True

    while not notify():
        answers.clear()
    assert answers == [True]


def test_a_notification_that_meets_a_timeout_is_not_lost():
    """Exactly as many waits return True as were notified, whenever they time out."""
    lock = golock.allocate_lock()
    condition, answers, sent, stop = golock.Condition(lock), [], 0, False

    def wait(number):
        while not stop:
            with lock:
                answers.append(condition.wait(0.0002 * (1 + number)))

    threads = [start(wait, number) for number in range(4)]
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        with lock:
            waiting = waiters(condition)
            condition.notify(2)
            sent += waiting - waiters(condition)
    stop = True
    join(threads)
    assert sent > 0
    assert answers.count(True) == sent


def test_the_lock_is_taken_again_as_often_as_before(condition):
    lock = condition._lock
    nested = hasattr(lock, "_recursion_count") or isinstance(lock, golock.RLock)
    depth = 3 if nested else 1
    done = []

    def wait():
        for _ in range(depth):
            condition.acquire()
        condition.wait()
        done.append(condition._is_owned())
        for _ in range(depth):
            assert condition._is_owned()
            condition.release()

    thread = start(wait)
    wait_until(lambda: waiters(condition), "the thread waits")
    with condition:
        condition.notify()
        assert done == []
    join([thread])
    assert done == [True]
    assert condition.acquire(False)
    condition.release()
    if isinstance(lock, OwnRLock):
        assert (lock.saves, lock.restores) == (1, 1)


def test_wait_for(condition):
    value, seen = 0, []

    def wait():
        with condition:
            seen.append(condition.wait_for(lambda: value if value > 2 else 0))

    thread = start(wait)
    for _ in range(3):
        wait_until(lambda: waiters(condition) or seen, "the thread waits")
        with condition:
            value += 1
            condition.notify()
    join([thread])
    assert seen == [3]
    with condition:
        assert condition.wait_for(lambda: "", 0.001) == ""
        with pytest.raises(ZeroDivisionError):
            condition.wait_for(lambda: 1 / 0)
        assert condition._is_owned()


def test_wait_for_calls_the_wait_of_a_subclass():
    class Counting(golock.Condition):
        waits = 0

        def wait(self, timeout=None):
            self.waits += 1
            return super().wait(0.0001)

    condition = Counting()
    with condition:
        assert condition.wait_for(lambda: condition.waits == 3) is True


def test_notify_all_calls_the_notify_of_a_subclass():
    class Counting(golock.Condition):
        notified = None

        def notify(self, n=1):
            self.notified = n
            super().notify(n)

    condition = Counting()
    threads, _ = wait_in_threads(condition, 3)
    with condition:
        condition.notify_all()
    join(threads)
    assert condition.notified == 3


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early(condition, timeout):
    with condition:
        before = time.monotonic_ns()
        assert condition.wait(timeout) is False
        assert time.monotonic_ns() - before >= timeout * 1e9
        assert condition._is_owned()
        assert waiters(condition) == 0


def test_wait_and_notify_need_the_lock(condition):
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(RuntimeError):
        condition.wait_for(lambda: False)
    assert condition.wait_for(lambda: True) is True


def test_lock_that_cannot_be_taken_again():
    class Broken(OwnLock):
        def acquire(self, *args):
            if not args and self.broken:
                raise ZeroDivisionError
            return super().acquire(*args)

        broken = False

    lock = Broken()
    condition = golock.Condition(lock)
    condition.acquire()
    lock.broken = True
    with pytest.raises(ZeroDivisionError):
        condition.wait(0.001)


def test_two_conditions_over_one_lock():
    lock = golock.allocate_lock()
    full, empty, items, seen = golock.Condition(lock), golock.Condition(lock), [], []

    def produce(first):
        for item in range(first, first + 300):
            with lock:
                full.wait_for(lambda: len(items) < 3)
                items.append(item)
                empty.notify()

    def consume():
        for _ in range(300):
            with lock:
                empty.wait_for(lambda: items)
                seen.append(items.pop(0))
                full.notify()

    join([start(produce, 0), start(produce, 300), start(consume), start(consume)])
    assert sorted(seen) == list(range(600))


def test_waiter_sleeps_until_the_lock_is_free(condition):
    [thread], _ = wait_in_threads(condition, 1)
    wait_until(lambda: asleep_in_kernel(thread), "the waiter sleeps")
    with condition:
        slept = times_slept(thread)
        condition.notify()
        lock, moves = condition._lock, golock._golock.core()["fastpath"]
        if moves and type(lock) in (golock.LockType, golock.RLock):
            time.sleep(0.01)  # releases the GIL
            assert times_slept(thread) == slept
        elif isinstance(lock, golock.LockType):
            wait_until(lambda: asleep_on(lock, thread), "it waits for the lock")
    join([thread])


INTERRUPTED = """
import signal, sys, threading
import golock
from waiting import waiters
condition = golock.Condition(eval(sys.argv[1]))
places, answers = [], []
def handler(signum, frame):
    places.append((frame, frame.f_lasti))
    if places[-3:] != places[-1:] * 3 or not waiters(condition):
        return  # the main thread does not wait yet
    signal.setitimer(signal.ITIMER_REAL, 0)
    threads = []
    def wait():
        with condition:
            answers.append(condition.wait())
    for number in range(2):
        threads.append(threading.Thread(target=wait, daemon=True))
        threads[-1].start()
        while waiters(condition) < number + 2:
            pass
    with condition:
        condition.notify()  # the main thread, the first to wait
        assert waiters(condition) == 2
    raise ZeroDivisionError
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
condition.acquire()
try:
    condition.wait()
except ZeroDivisionError:
    print('raised', condition._is_owned(), waiters(condition))
condition.release()
while not answers:
    pass
print(answers, waiters(condition))
"""


@pytest.mark.parametrize(
    "lock",
    ["None", "golock.allocate_lock()", "golock.RLock()"],
)
def test_interrupted_while_notified_passes_the_notification_on(python, check, lock):
    check(python(INTERRUPTED, lock), "raised True 1\n[True] 1\n")
