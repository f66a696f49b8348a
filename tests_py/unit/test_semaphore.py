"""Semaphores between threads: exact counts, a waiter served for each permit, in order."""

from __future__ import annotations

import time

import pytest

import golock
from waiting import asleep_on, join, start, wait_until

pytestmark = pytest.mark.usefixtures("restored_handoff")
both = pytest.mark.parametrize("kind", [golock.Semaphore, golock.BoundedSemaphore])


def empty(kind, permits):
    semaphore = kind(permits)
    for _ in range(permits):
        assert semaphore.acquire()
    assert semaphore._value == 0
    return semaphore


def wait_in_threads(semaphore, number):
    """Start threads that take a permit each, one after the other; return them and a list of those
    that have one."""
    served, threads = [], []

    def wait(turn):
        semaphore.acquire()
        served.append(turn)

    for turn in range(number):
        threads.append(start(wait, turn))
        wait_until(lambda: asleep_on(semaphore, threads[-1]), "the thread waits")
    return threads, served


@both
@pytest.mark.parametrize("n", [1, 2, 5])
def test_release_serves_as_many_waiters_as_permits(kind, n):
    semaphore = empty(kind, 10)
    threads, served = wait_in_threads(semaphore, 10)
    for sent in range(n, 11, n):
        semaphore.release(n)
        wait_until(lambda sent=sent: len(served) == sent, "so many have a permit")
        assert semaphore._value == 0
        assert not semaphore.acquire(False)
    assert len(served) == 10
    join(threads)


@both
@pytest.mark.parametrize("n", [1, 3, 12])
def test_first_come_first_served_with_a_threshold_of_zero(kind, n):
    golock.set_handoff(0)
    semaphore = empty(kind, 12)
    threads, served = wait_in_threads(semaphore, 12)
    for sent in range(n, 13, n):
        semaphore.release(n)
        wait_until(lambda sent=sent: len(served) == sent, "so many have a permit")
        assert sorted(served[-n:]) == list(range(sent - n, sent))
    join(threads)


@both
def test_no_newcomer_overtakes_with_a_threshold_of_zero(kind):
    golock.set_handoff(0)
    semaphore = empty(kind, 4)
    threads, served = wait_in_threads(semaphore, 3)
    overtaken = []
    for turn in range(3):
        semaphore.release()
        overtaken.append(semaphore.acquire(False))
        wait_until(lambda turn=turn: len(served) > turn, "the first in the line has a permit")
    assert overtaken == [False] * 3
    assert served == [0, 1, 2]
    join(threads)
    semaphore.release()
    assert semaphore.acquire(False)


@both
def test_not_starved_by_threads_that_come_again_and_again(kind):
    semaphore, stop = kind(2), False

    def barge():
        while not stop:
            with semaphore, semaphore:
                pass

    bargers = [start(barge)]
    for _ in range(20):
        assert semaphore.acquire(timeout=60)
        semaphore.release()
    stop = True
    join(bargers)
    assert semaphore._value == 2


@both
@pytest.mark.parametrize("threshold", [0, 0.001])
def test_never_more_inside_than_permits(kind, threshold):
    golock.set_handoff(threshold)
    permits, rounds = 3, 1000
    semaphore, inside, most, taken = kind(permits), [], [], []

    def work(way):
        for i in range(rounds):
            if (way + i) % 3 == 0:
                while not semaphore.acquire(timeout=0.0005):
                    pass
            elif (way + i) % 3 == 1:
                while not semaphore.acquire(False):
                    time.sleep(0)
            else:
                semaphore.acquire()
            inside.append(way)
            most.append(len(inside))
            if i % 50 == 0:
                time.sleep(0)
            inside.pop()
            semaphore.release()
        taken.append(rounds)

    join([start(work, way) for way in range(8)])
    assert sum(taken) == 8 * rounds
    assert max(most) <= permits
    assert semaphore._value == permits


@pytest.mark.parametrize("threads", [2, 8])
def test_bound_is_exact_under_releases_that_overlap(threads):
    """Exactly the releases past the bound are refused."""
    bound = 5
    semaphore = golock.BoundedSemaphore(bound)
    balance, refusals, wrong = [], [], []

    def work(way):
        mine = refused = 0
        for i in range(1500):
            n = 1 + (way + i) % 3
            if (way + i) % 2:
                mine -= semaphore.acquire(False)
            else:
                try:
                    semaphore.release(n)
                    mine += n
                except ValueError:
                    refused += 1
            if not 0 <= semaphore._value <= bound:
                wrong.append(semaphore._value)
        balance.append(mine)
        refusals.append(refused)

    join([start(work, way) for way in range(threads)])
    assert wrong == []
    assert bound + sum(balance) == semaphore._value
    assert sum(refusals) > 0
    while semaphore.acquire(False):
        pass
    for _ in range(bound):
        semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert semaphore._value == bound


def test_bound_holds_while_threads_wait():
    semaphore = empty(golock.BoundedSemaphore, 2)
    threads, served = wait_in_threads(semaphore, 2)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release(3)
    assert served == []
    semaphore.release(2)
    join(threads)
    assert semaphore._value == 0


@both
@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early_and_takes_no_permit(kind, timeout):
    semaphore = empty(kind, 1)
    before = time.monotonic_ns()
    assert semaphore.acquire(timeout=timeout) is False
    assert time.monotonic_ns() - before >= timeout * 1e9
    semaphore.release()
    assert semaphore.acquire(timeout=timeout)
    assert semaphore._value == 0


def test_permits_that_meet_timeouts_are_not_lost():
    semaphore, sent, taken, stop = golock.Semaphore(0), 0, [], False

    def take(number):
        mine = 0
        while not stop:
            mine += semaphore.acquire(timeout=0.0001 * (1 + number))
        taken.append(mine)

    threads = [start(take, number) for number in range(4)]
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        semaphore.release(1 + sent % 3)
        sent += 1 + sent % 3
        time.sleep(0.0001)
    stop = True
    join(threads)
    assert sum(taken) + semaphore._value == sent


@both
def test_derived_class_with_a_release_of_its_own(kind):
    class Counting(kind):
        released = 0

        def release(self, n=1):
            self.released += n
            super().release(n)

    semaphore = Counting()
    with semaphore:
        pass
    assert (semaphore.released, semaphore._value) == (1, 1)


def test_two_semaphores_as_a_bounded_buffer():
    room, filled, items, seen = golock.Semaphore(3), golock.Semaphore(0), [], []
    most = []

    def produce(first):
        for item in range(first, first + 500):
            room.acquire()
            items.append(item)
            most.append(len(items))
            filled.release()

    def consume():
        for _ in range(500):
            filled.acquire()
            seen.append(items.pop(0))
            room.release()

    join([start(produce, 0), start(produce, 500), start(consume), start(consume)])
    assert sorted(seen) == list(range(1000))
    assert max(most) <= 3
    assert (room._value, filled._value) == (3, 0)
