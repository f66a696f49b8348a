"""Why it was impossible to connect for a call that had given up is no answer to a later call."""

from __future__ import annotations

import socket

import pytest

from slow_proxy import SlowProxy
from waiting import wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


def test_etcd_is_back(name, endpoint_with_users):
    errors = []

    def acquired():
        try:
            return lock.acquire()
        except etcd.EtcdError as error:  # a slow machine
            errors.append(str(error))
            return False

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        lock = etcd.Lock(name, endpoints=f"127.0.0.1:{port}", user="locker:open", patience=2)
        assert not lock.acquire(timeout=0.01)
        with silent.accept()[0], silent.accept()[0] as asks_why:
            asks_why.shutdown(socket.SHUT_WR)
            while asks_why.recv(1 << 16):
                pass
    etcd.Lock(name).holder()  # by then the attempt to connect, which no call waits for, has ended
    proxy = SlowProxy(endpoint_with_users, 0, port)
    wait_until(acquired, "the lock was acquired")
    lock.release()
    proxy.close()
    assert not [each for each in errors if "closed the connection" in each]
