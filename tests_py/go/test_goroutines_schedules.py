"""Threads and goroutines take one lock in every way: one at a time, and no waiter is forgotten."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from goroutines import shared_lock
from waiting import join, start

SECONDS = st.sampled_from([0, 0.0001, 0.001, 0.01])


def ways(*untimed, timed):
    return st.lists(
        st.sampled_from(untimed)
        | st.sampled_from(timed).flatmap(lambda way: SECONDS.map((way + "={}").format)),
        min_size=1,
        max_size=20,
    )


GOROUTINES = st.lists(
    ways("lock", "lock", "try", "context", timed=["timeout", "deadline", "cancel"]), max_size=6
)
THREADS = st.lists(ways("lock", "lock", "with", "try", timed=["timeout"]), max_size=4)


def take(lock, way):
    """Take the lock in a way, and return whether that succeeded."""
    name, _, seconds = way.partition("=")
    if name == "try":
        return lock.acquire(False)
    if name == "with":
        return lock.__enter__()
    return lock.acquire(timeout=float(seconds)) if seconds else lock.acquire()


@settings(max_examples=100)
@given(goroutines=GOROUTINES, threads=THREADS, cancel=st.booleans())
def test_counts_are_exact(goroutines, threads, cancel):
    taken = []
    together = threading.Barrier(len(threads) + 1)

    def work(schedule):
        together.wait()
        for way in schedule:
            if take(lock, way):
                # Goroutines and threads run between the two calls.
                peer.SetCount(peer.Count() + 1)
                lock.release()
                taken.append(way)

    with shared_lock() as (lock, peer):
        running = [start(work, schedule) for schedule in threads]
        for schedule in goroutines:
            peer.Start(1, " ".join(schedule))
        together.wait()
        if cancel:
            peer.Cancel()
        join(running)
        peer.Join(60)
        assert peer.Count() == peer.Acquired() + len(taken)
        assert peer.Entered() == sum(map(len, goroutines))
        assert peer.Entered() == sum(
            (peer.Acquired(), peer.Refused(), peer.Canceled(), peer.Expired())
        )
        waits = [way for schedule in goroutines for way in schedule]
        assert peer.Acquired() >= waits.count("lock")
        assert len(taken) >= sum(
            way in ("lock", "with") for schedule in threads for way in schedule
        )
        assert cancel or peer.Acquired() >= waits.count("lock") + waits.count("context")


def test_stress():
    """Four goroutines and four threads take the lock without a pause."""
    rounds = 2000

    def work():
        for _ in range(rounds):
            with lock:
                peer.SetCount(peer.Count() + 1)

    with shared_lock() as (lock, peer):
        peer.Start(4, "lock context " * (rounds // 2))
        join([start(work) for _ in range(4)])
        peer.Join(60)
        assert (peer.Acquired(), peer.Count()) == (4 * rounds, 8 * rounds)


def test_the_word_changes_at_the_same_moment():
    """A plain store by Python, between Go's load and its store, would free a lock that is held."""
    rounds = 1_000_000
    ended = threading.Event()

    def work():
        while not ended.is_set():
            for _ in range(1000):
                if lock.acquire(False):
                    lock.release()

    with shared_lock() as (lock, peer):
        working = start(work)
        peer.Start(2, "try " * rounds)
        peer.Join(60)
        ended.set()
        join([working])
        assert peer.Acquired() + peer.Refused() == 2 * rounds
        assert peer.Count() == peer.Acquired()
