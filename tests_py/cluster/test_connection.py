"""What golock.etcd.Lock is given, and what etcdctl's variables say."""

from __future__ import annotations

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

NOBODY = "127.0.0.1:1"


def works(name, **arguments):
    lock = etcd.Lock(name, patience=0.2, **arguments)
    try:
        lock.acquire()
    except (etcd.EtcdError, ValueError):
        return False
    lock.release()
    return True


def test_variables_count(name, monkeypatch):
    assert works(name)
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", NOBODY)
    assert not works(name)


@pytest.mark.parametrize(
    ("variable", "argument"),
    [("ETCDCTL_CACERT", "ca"), ("ETCDCTL_CERT", "cert"), ("ETCDCTL_KEY", "key")],
)
def test_empty_arguments_win(name, monkeypatch, variable, argument):
    monkeypatch.setenv(variable, "no-such-file")
    assert not works(name)
    assert works(name, **{argument: ""})


def test_endpoints_win(name, endpoint, monkeypatch):
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", NOBODY)
    assert works(name, endpoints=endpoint)
    assert works(name, endpoints=[f" {endpoint} "])


def test_the_variables_are_those_of_the_making(name, monkeypatch):
    lock = etcd.Lock(name)
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", NOBODY)
    with lock:
        pass


def test_prefix(name):
    with etcd.Lock(name, prefix="elsewhere/") as lock:
        assert lock.key.startswith("elsewhere/")
        assert etcd.Lock(name).acquire(timeout=30)


@pytest.mark.parametrize(
    ("variables", "arguments", "error"),
    [
        ({"ETCDCTL_USER": "locker:open"}, {}, None),
        ({"ETCDCTL_USER": "locker", "ETCDCTL_PASSWORD": "open"}, {}, None),
        ({"ETCDCTL_USER": "locker:wrong"}, {}, "authentication failed"),
        ({"ETCDCTL_USER": "locker:wrong"}, {"user": "locker:open"}, None),
        ({"ETCDCTL_USER": "locker:wrong"}, {"password": "open"}, None),
        ({"ETCDCTL_USER": "locker:open"}, {"password": "wrong"}, "authentication failed"),
        ({"ETCDCTL_PASSWORD": "wrong"}, {"user": "locker:open"}, None),
        ({"ETCDCTL_PASSWORD": "open"}, {"user": "locker"}, None),
        ({"ETCDCTL_USER": "locker:open"}, {"user": ""}, "user name is empty"),
        ({"ETCDCTL_USER": "locker:open"}, {"prefix": "other/"}, "permission denied"),
    ],
)
def test_users(endpoint_with_users, monkeypatch, variables, arguments, error):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    lock = etcd.Lock("x", endpoints=endpoint_with_users, patience=60, **arguments)
    if error is None:
        for _ in range(3):  # also by the connections of threads
            with lock:
                pass
    else:
        with pytest.raises(etcd.EtcdError, match=f"{endpoint_with_users} refused: .*{error}"):
            lock.acquire()
