"""Tries that are shorter than etcd takes to answer: one of them gets the lock."""

from __future__ import annotations

import pytest

from slow_proxy import SlowProxy

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

TRY = 0.05
DELAY = 0.1
"""Seconds, of each direction; so an answer takes four tries."""


@pytest.fixture
def slow(endpoint):
    proxy = SlowProxy(endpoint, DELAY)
    yield proxy.address
    proxy.close()


def tries_until_acquired(lock):
    for n in range(1, 601):
        if lock.acquire(timeout=TRY):
            return n
    pytest.fail("600 tries have not got the lock")


def test_of_a_new_lock(name, slow):
    lock = etcd.Lock(name, endpoints=slow)
    assert tries_until_acquired(lock) > 4  # to connect, to get a lease, and to make the key
    lock.release()
    assert tries_until_acquired(lock) > 1
    lock.release()


def test_of_objects_that_are_made_anew(name, slow):
    for _ in range(600):
        lock = etcd.Lock(name, endpoints=slow)
        if lock.acquire(timeout=TRY):
            break
    assert lock.locked()
    lock.release()


def test_of_a_lock_that_another_process_has(name, endpoint, slow):
    """The tries keep their place, and leave it when they end."""
    lock = etcd.Lock(name, endpoints=slow)
    tries_until_acquired(lock)
    lock.release()
    with etcd.Lock(name, endpoints=endpoint) as other:
        for _ in range(10):
            assert not lock.acquire(timeout=TRY)
    tries_until_acquired(lock)
    lock.release()
    assert other.acquire(timeout=30)
    other.release()


@pytest.mark.parametrize("endpoint_of_user", [False, True], ids=["no user", "user"])
def test_that_end_leave_the_lock(name, endpoint, slow, endpoint_of_user):
    """What the last try leaves is withdrawn."""
    lock = etcd.Lock(name, endpoints=slow, user="somebody:secret" if endpoint_of_user else "")
    for _ in range(8):
        if lock.acquire(timeout=TRY):
            lock.release()
    other = etcd.Lock(name, endpoints=endpoint)
    assert other.acquire(timeout=30)
    other.release()
