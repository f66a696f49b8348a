"""A signal may end a thread between any two steps; the lock must not stay taken by nobody."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


def test_interrupted_when_acquired(name, monkeypatch):
    def interrupted(*arguments):
        hold(*arguments)
        raise KeyboardInterrupt

    hold = etcd._Hold
    lock = etcd.Lock(name)
    with monkeypatch.context() as patched:
        patched.setattr(etcd, "_Hold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire()
    assert lock.acquire(timeout=30)
    lock.release()


def test_interrupted_before_the_release(name, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    lock = etcd.Lock(name)
    lock.acquire()
    with monkeypatch.context() as patched:
        patched.setattr(etcd, "Call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.release()
    assert lock.acquire(timeout=30)
    lock.release()


def test_lock_that_nothing_refers_to_stays_held(name):
    etcd.Lock(name).acquire()
    gc.collect()
    assert not etcd.Lock(name).acquire(blocking=False)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda lock: pickle.loads(pickle.dumps(lock))])
def test_copy_is_another_lock(name, duplicate):
    lock = etcd.Lock(name)
    with lock:
        other = duplicate(lock)
        assert not other.locked()
        assert not other.acquire(blocking=False)
    del lock
    gc.collect()
    assert other.acquire(timeout=30)
    other.release()


def test_first_use_by_two_threads(name, monkeypatch):
    """The slower one does not take away the hold of the other."""
    held = threading.Event()
    connect = etcd._Process.lock

    def slow(*arguments):
        handle = connect(*arguments)
        if threading.current_thread() is slower:
            opened.set()
            held.wait()
        return handle

    monkeypatch.setattr(etcd._Process, "lock", slow)
    lock, opened, found = etcd.Lock(name), threading.Event(), []
    slower = threading.Thread(target=lambda: found.append(lock.acquire(timeout=30)))
    slower.start()
    opened.wait()
    lock.acquire()
    held.set()
    lock.release()
    slower.join()
    assert found == [True]
    lock.release()
