"""Barriers between threads: rounds, and all the ways to break one."""

from __future__ import annotations

import threading
import time
from threading import BrokenBarrierError

import pytest

import golock
from waiting import asleep_for_ever, join, start, wait_until


def wait_in_threads(barrier, number, timeout=None):
    """Start threads that wait; return them and a list of what each wait returned or raised."""
    answers = []

    def wait():
        try:
            answers.append(barrier.wait(timeout))
        except Exception as error:
            answers.append(type(error))

    threads = [start(wait) for _ in range(number)]
    return threads, answers


def wait_until_waiting(barrier, number):
    wait_until(lambda: barrier.n_waiting == number, f"{number} wait")


def test_each_has_an_index_of_its_own():
    barrier = golock.Barrier(5)
    threads, answers = wait_in_threads(barrier, 4)
    wait_until_waiting(barrier, 4)
    assert answers == []
    assert barrier.wait() == 4
    join(threads)
    assert sorted(answers) == [0, 1, 2, 3]
    assert (barrier.n_waiting, barrier.broken) == (0, False)


@pytest.mark.parametrize("number", [2, 5])
def test_rounds(number):
    """The barrier is reused while some have not left the last round. Nobody gets a round ahead."""
    rounds, inside, actions = 300, [], []
    lasts = []

    def act():
        assert len(inside) == number * (len(actions) + 1)
        actions.append(1)

    barrier = golock.Barrier(number, act)

    def work():
        for turn in range(rounds):
            inside.append(turn)
            index = barrier.wait()
            assert len(actions) in (turn + 1, turn + 2)
            if index == number - 1:
                lasts.append(turn)

    join([start(work) for _ in range(number)])
    assert len(actions) == rounds
    assert lasts == list(range(rounds))


def test_more_threads_than_parties():
    """Any three arrivals make a round."""
    rounds, actions, indexes = 150, [], []
    barrier, tickets = golock.Barrier(3, lambda: actions.append(1)), [None] * 3 * rounds

    def work():
        while True:
            try:
                tickets.pop()
            except IndexError:
                return
            indexes.append(barrier.wait())

    join([start(work) for _ in range(7)])
    assert (len(actions), barrier.n_waiting) == (rounds, 0)
    assert sorted(indexes) == sorted([0, 1, 2] * rounds)


def test_action_that_raises_breaks_it():
    def act():
        raise ZeroDivisionError

    barrier = golock.Barrier(3, act)
    threads, answers = wait_in_threads(barrier, 2)
    wait_until_waiting(barrier, 2)
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    join(threads)
    assert answers == [BrokenBarrierError] * 2
    assert barrier.broken
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


def test_nobody_gives_up_while_the_action_runs():
    """Waiters whose time runs out during the action still succeed, for all have arrived."""
    waiters = []

    def act():
        for thread in waiters:
            wait_until(lambda thread=thread: asleep_for_ever(thread), "its time is up")

    barrier = golock.Barrier(3, act)
    while True:
        threads, answers = wait_in_threads(barrier, 2, 0.05)
        waiters[:] = threads
        wait_until(lambda: barrier.n_waiting == 2 or barrier.broken, "both wait")
        try:
            index = barrier.wait()
        except BrokenBarrierError:  # they timed out before
            join(threads)
            barrier.reset()
            continue
        break
    join(threads)
    assert (index, sorted(answers), barrier.broken) == (2, [0, 1], False)


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early_and_breaks_it_for_all(timeout):
    barrier = golock.Barrier(3)
    threads, answers = wait_in_threads(barrier, 1)
    wait_until_waiting(barrier, 1)
    before = time.monotonic_ns()
    with pytest.raises(BrokenBarrierError):
        barrier.wait(timeout)
    assert time.monotonic_ns() - before >= timeout * 1e9
    join(threads)
    assert answers == [BrokenBarrierError]
    assert barrier.broken


def test_timeout_of_the_barrier_is_that_of_each_wait():
    barrier = golock.Barrier(2, timeout=0.001)
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    threads, answers = wait_in_threads(barrier, 1, 60)
    wait_until_waiting(barrier, 1)
    assert barrier.wait() == 1
    join(threads)
    assert answers == [0]


def test_abort():
    barrier = golock.Barrier(5)
    threads, answers = wait_in_threads(barrier, 4)
    wait_until_waiting(barrier, 4)
    barrier.abort()
    join(threads)
    assert answers == [BrokenBarrierError] * 4
    assert (barrier.broken, barrier.n_waiting) == (True, 0)
    threads, answers = wait_in_threads(barrier, 5)
    join(threads)
    assert answers == [BrokenBarrierError] * 5


def test_reset_sends_those_away_that_wait_and_takes_others_at_once():
    barrier = golock.Barrier(3)
    for _ in range(20):
        threads, answers = wait_in_threads(barrier, 2)
        wait_until_waiting(barrier, 2)
        barrier.reset()
        assert (barrier.broken, barrier.n_waiting) == (False, 0)
        others, their_answers = wait_in_threads(barrier, 3)
        join(threads + others)
        assert answers == [BrokenBarrierError] * 2
        assert sorted(their_answers) == [0, 1, 2]


def test_abort_and_reset_wait_for_the_action():
    running, go_on = threading.Event(), threading.Event()

    def act():
        running.set()
        go_on.wait()

    barrier = golock.Barrier(1, act)
    threads, answers = wait_in_threads(barrier, 1)
    running.wait()
    late, their_answers = wait_in_threads(barrier, 1)
    others = [start(barrier.abort), start(barrier.reset)]
    for thread in others + late:
        wait_until(lambda thread=thread: asleep_for_ever(thread), "it waits for the action")
    assert not barrier.broken
    go_on.set()
    join(threads + others + late)
    assert answers == [0]
    assert their_answers in ([0], [BrokenBarrierError])


def test_action_that_looks_at_the_barrier():
    seen = []
    barrier = golock.Barrier(
        1, lambda: seen.append((barrier.n_waiting, barrier.broken, barrier.parties, repr(barrier)))
    )
    assert barrier.wait() == 0
    assert seen[0][:3] == (1, False, 1)  # the thread itself is in the barrier
