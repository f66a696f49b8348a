"""Threads that connect at the same time: to one etcd, or to several."""

from __future__ import annotations

import socket

import pytest

from slow_proxy import SlowProxy
from waiting import join, start

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


def test_to_a_silent_one_holds_up_no_other(name):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        lock = etcd.Lock(name, endpoints=address, user="somebody:secret", patience=60)
        thread = start(lock.acquire, True, 30)
        with silent.accept()[0]:
            other = etcd.Lock(name, prefix=f"{name}/")
            assert other.acquire(timeout=10)
            other.release()
            assert thread.is_alive()
    thread.join(60)


def test_to_the_same_one_share_the_connection(name, endpoint_with_users):
    def work():
        lock = etcd.Lock(name, endpoints=proxy.address, user="locker:open")
        for _ in range(3):
            assert lock.acquire(timeout=30)
            held.append(name)
            assert len(held) == 1
            held.pop()
            lock.release()
        done.append(lock._known)

    held, done = [], []
    proxy = SlowProxy(endpoint_with_users, 0.05)
    join([start(work) for _ in range(4)])
    assert len(done) == 4
    assert len(set(done)) == 1
    proxy.close()
