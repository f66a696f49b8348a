"""Events between threads: a set wakes all waiters, however soon the event is cleared."""

from __future__ import annotations

import threading
import time

import pytest

import golock
from waiting import asleep_for_ever, asleep_on, join, start, wait_until


def wait_in_threads(event, number):
    answers = []
    threads = [start(lambda: answers.append(event.wait())) for _ in range(number)]
    for thread in threads:
        wait_until(lambda thread=thread: asleep_for_ever(thread), "the thread waits")
    return threads, answers


@pytest.mark.parametrize("looked_at", [False, True], ids=["", "_cond"])
def test_set_and_clear_at_once_wakes_all(looked_at):
    event = golock.Event()
    if looked_at:
        event._cond
    threads, answers = wait_in_threads(event, 20)
    event.set()
    event.clear()
    join(threads)
    assert answers == [True] * 20
    assert not event.is_set()
    assert event.wait(0.001) is False


def test_each_flash_wakes_exactly_the_waiters():
    """A flash sets and clears the event. The next one comes when all threads wait again."""
    event, rounds, number = golock.Event(), 50, 8
    gate, seen = threading.Barrier(number + 1), [0] * number

    def watch(turn):
        for _ in range(rounds):
            assert event.wait()
            seen[turn] += 1
            gate.wait()

    threads = [start(watch, turn) for turn in range(number)]
    for turn in range(1, rounds + 1):
        while seen != [turn] * number:
            event.set()
            event.clear()
            time.sleep(0)
        event.set()
        event.clear()
        assert seen == [turn] * number
        gate.wait()
    join(threads)


def test_what_was_done_before_is_seen_after():
    event, back, box = golock.Event(), golock.Event(), []

    def work():
        for turn in range(2000):
            event.wait()
            event.clear()
            assert box == [turn]
            box.clear()
            back.set()

    thread = start(work)
    for turn in range(2000):
        box.append(turn)
        event.set()
        back.wait()
        back.clear()
        assert box == []
    join([thread])


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.001, 0.02])
def test_timeout_is_not_early(timeout):
    event = golock.Event()
    before = time.monotonic_ns()
    assert event.wait(timeout) is False
    assert time.monotonic_ns() - before >= timeout * 1e9
    event.set()
    assert event.wait(timeout) is True


def test_timeouts_that_meet_flashes():
    """Waits with timeouts run beside sets; afterwards each waiter still returns True once."""
    event, stop, answers = golock.Event(), False, []

    def wait(number):
        while not stop:
            answers.append(event.wait(0.0001 * (1 + number)))

    threads = [start(wait, number) for number in range(4)]
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        event.set()
        event.clear()
        time.sleep(0.0002)
    stop = True
    join(threads)
    assert set(answers) == {True, False}
    threads, answers = wait_in_threads(event, 4)
    event.set()
    join(threads)
    assert answers == [True] * 4


def test_condition_of_an_event():
    """Holding it keeps the event from changing; its waiters are notified by `set`."""
    event = golock.Event()
    condition = event._cond
    assert event._cond is condition
    answers = []

    def wait():
        with condition:
            answers.append(condition.wait())

    threads = [start(wait), start(wait)]
    wait_until(lambda: len(condition._waiters) == 2, "both wait")
    with condition:
        setter = start(event.set)
        wait_until(lambda: asleep_on(condition._lock, setter), "the setter waits")
        assert not event.is_set()
    join([*threads, setter])
    assert (answers, event.is_set()) == ([True, True], True)
    with condition:
        clearer = start(event.clear)
        wait_until(lambda: asleep_on(condition._lock, clearer), "the clearer waits")
        assert event.is_set()
    join([clearer])
    assert not event.is_set()
