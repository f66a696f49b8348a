"""Errors name the endpoint, and say why. tests_go/etcd/errors_test.go has one for each reason."""

from __future__ import annotations

import socket

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


@pytest.fixture
def silent():
    """Return the address of a server that answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "{}:{}".format(*listener.getsockname())


@pytest.mark.parametrize("user", ["", "somebody:secret"], ids=["no user", "user"])
@pytest.mark.parametrize("call", ["acquire", "holder"])
def test_silent(name, silent, user, call):
    lock = etcd.Lock(name, endpoints=silent, user=user, patience=0.2)
    with pytest.raises(etcd.EtcdError, match=f"{silent}: it can be connected to"):
        getattr(lock, call)()


@pytest.mark.parametrize("user", ["", "somebody:secret"], ids=["no user", "user"])
@pytest.mark.parametrize("call", ["acquire", "holder"])
def test_nobody(name, user, call):
    lock = etcd.Lock(name, endpoints="127.0.0.1:1", user=user, patience=0.2)
    with pytest.raises(etcd.EtcdError, match=r"127\.0\.0\.1:1: .*connection refused"):
        getattr(lock, call)()


def test_what_etcd_refuses(name, endpoint):
    with etcd.Lock(name) as lock:
        large = etcd.Txn().put("row", "x" * ((2 << 20) - (64 << 10)))
        with pytest.raises(etcd.EtcdError, match=f"{endpoint} refused: .*too large"):
            lock.guard(large)


def test_guard_in_time(name, endpoint):
    with etcd.Lock(name) as lock, pytest.raises(etcd.EtcdError, match=f"{endpoint}: "):
        lock.guard(etcd.Txn().put("row", "1"), timeout=0)
