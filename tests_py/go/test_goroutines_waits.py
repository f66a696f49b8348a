"""Waits for a lock that the other language holds: they time out, end early, and lose nothing."""

from __future__ import annotations

import os
import signal
import threading

import pytest

import golock
from goroutines import shared_lock
from waiting import asleep_on, join, start, wait_until


class RaisedError(Exception):
    pass


@pytest.fixture
def handler():
    """Set the handler of SIGUSR1, which a thread sends once the main thread sleeps on a lock."""
    before = signal.getsignal(signal.SIGUSR1)

    def set_handler(handler, lock):
        signal.signal(signal.SIGUSR1, lambda *_: handler())

        def send():
            wait_until(lambda: asleep_on(lock, threading.main_thread()), "the main thread waits")
            os.kill(os.getpid(), signal.SIGUSR1)

        return start(send)

    yield set_handler
    signal.signal(signal.SIGUSR1, before)


def taken_again(lock, peer):
    """Assert that both sides can take the lock."""
    for _ in range(2):
        assert lock.acquire(False)
        assert not peer.Acquire(False, -1)
        lock.release()
        assert peer.Acquire(False, -1)
        assert not lock.acquire(False)
        peer.Release()


def test_timeout_of_a_thread():
    with shared_lock() as (lock, peer):
        peer.Hold()
        assert not lock.acquire(timeout=0.01)
        assert not lock.acquire(False)
        assert lock.locked()
        peer.Let()
        assert lock.acquire(timeout=60)
        lock.release()
        taken_again(lock, peer)


def test_timeouts_of_threads_among_which_one_waits_on():
    with shared_lock() as (lock, peer):
        peer.Hold()
        waiting = start(lock.acquire)
        wait_until(lambda: asleep_on(lock, waiting), "a thread waits")
        results = []
        join([start(lambda: results.append(lock.acquire(timeout=0.01))) for _ in range(4)])
        assert results == [False] * 4
        peer.Let()
        join([waiting])
        assert lock.locked()
        lock.release()
        taken_again(lock, peer)


def test_handler_that_raises_ends_the_wait(handler):
    def raises():
        raise RaisedError

    with shared_lock() as (lock, peer):
        peer.Hold()
        sender = handler(raises, lock)
        with pytest.raises(RaisedError):
            lock.acquire()
        join([sender])
        peer.Let()
        peer.Join(60)
        taken_again(lock, peer)


def test_handler_that_returns_does_not(handler):
    with shared_lock() as (lock, peer):
        peer.Hold()
        sender = handler(peer.Let, lock)  # the handler makes Go release the lock
        assert lock.acquire()
        join([sender])
        lock.release()
        taken_again(lock, peer)


def wait_in_go(lock, peer, step, goroutines=1):
    """Start goroutines that wait for the lock, and return when they do."""
    begun = peer.Entered()
    peer.Start(goroutines, step)
    wait_until(lambda: peer.Entered() == begun + goroutines, "the goroutines have begun")
    wait_until(peer.Waiters, "one of them waits")


@pytest.mark.parametrize("goroutines", [1, 5])
def test_context_cancelled(goroutines):
    with shared_lock() as (lock, peer):
        with lock:
            wait_in_go(lock, peer, "context", goroutines)
            peer.Cancel()
            peer.Join(60)
            assert (peer.Canceled(), peer.Acquired()) == (goroutines, 0)
            assert lock.locked()
        taken_again(lock, peer)


@pytest.mark.parametrize("goroutines", [1, 5])
def test_context_with_a_deadline(goroutines):
    with shared_lock() as (lock, peer):
        with lock:
            wait_in_go(lock, peer, "deadline=0.01", goroutines)
            peer.Join(60)
            assert (peer.Expired(), peer.Acquired()) == (goroutines, 0)
        taken_again(lock, peer)


def test_context_that_is_done_does_not_take_a_free_lock():
    with shared_lock() as (lock, peer):
        peer.Cancel()
        peer.Start(3, "context")
        peer.Start(3, "deadline=0")
        peer.Join(60)
        assert (peer.Canceled(), peer.Expired(), peer.Acquired()) == (3, 3, 0)
        taken_again(lock, peer)


def test_those_whose_context_lasts_get_the_lock():
    """Some of the waiting goroutines and threads give up; the others get the lock."""
    with shared_lock() as (lock, peer):
        lock.acquire()
        served = []

        def work():
            with lock:
                served.append(None)

        wait_in_go(lock, peer, "context", 3)
        wait_in_go(lock, peer, "lock", 3)
        threads = [start(work) for _ in range(3)]
        wait_until(lambda: all(asleep_on(lock, thread) for thread in threads), "the threads wait")
        peer.Cancel()
        wait_until(lambda: peer.Canceled() == 3, "some have given up")
        lock.release()
        join(threads)
        peer.Join(60)
        assert (peer.Acquired(), peer.Count(), len(served)) == (3, 3, 3)
        taken_again(lock, peer)


def test_release_by_the_other_side():
    """A lock has no owner: one language may release what the other has acquired."""
    with shared_lock() as (lock, peer):
        lock.acquire()
        wait_in_go(lock, peer, "lock")
        peer.Release()
        peer.Join(60)
        peer.Acquire(True, -1)
        thread = start(lock.acquire)
        wait_until(lambda: asleep_on(lock, thread), "a thread waits")
        lock.release()
        join([thread])
        assert lock.locked()
        peer.Release()
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            peer.Release()
        with pytest.raises(golock.error, match="release unlocked lock"):
            lock.release()
        taken_again(lock, peer)
