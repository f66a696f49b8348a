"""Threads that cannot deadlock, whatever they do, and a watcher that must not see a deadlock."""

from __future__ import annotations

import random
import threading
import time

import pytest

import golock
from golock import sight
from waiting import join

LOCKS, THREADS = 6, 8


@pytest.mark.parametrize("level", ["waits", "owners"])
def test_no_deadlock_is_seen_where_there_is_none(level, stress):
    """Without a time-out, locks are taken in their order alone; with one, in any order."""
    locks = [golock.Lock() if index % 2 else golock.RLock() for index in range(LOCKS)]
    conditions = [golock.Condition(lock) for lock in locks]
    ended = time.monotonic() + stress.size(2.0, 60.0)
    errors = []

    def in_order(chance):
        first, second = sorted(chance.sample(range(LOCKS), 2))
        with locks[first], locks[second]:
            pass

    def in_any_order(chance):
        first, second = chance.sample(range(LOCKS), 2)
        if locks[first].acquire(timeout=0.001):
            if locks[second].acquire(timeout=chance.random() / 1000):
                locks[second].release()
            locks[first].release()

    def notify(chance):
        condition = chance.choice(conditions)
        with condition:
            condition.notify_all()
            condition.wait(chance.random() / 1000)

    def work(seed):
        chance = random.Random(seed)
        try:
            while time.monotonic() < ended:
                chance.choice((in_order, in_any_order, notify))(chance)
        except BaseException as error:
            errors.append(error)
            raise

    sight.start(level)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        while time.monotonic() < ended:
            certain = [deadlock for deadlock in sight.deadlocks() if deadlock.certain]
            assert not certain, str(certain[0])
            stress.count("looks for deadlocks")
    finally:
        join(threads)
        sight.stop()
    assert not errors
    assert sight.snapshot().waits == ()
