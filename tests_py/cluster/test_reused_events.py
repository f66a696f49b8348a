"""The library may set a call's event once more after its end; the next call with it goes on."""

from __future__ import annotations

import anyio
import pytest

from event_loops import each_loop, run
from slow_proxy import SlowProxy
from waiting import start, wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)


@pytest.fixture
def events(monkeypatch):
    """Return a list to which each call adds its event."""
    taken = []

    def recorded():
        taken.append(take_event())
        return taken[-1]

    library = etcd._this.library
    take_event = library.take_event
    monkeypatch.setattr(library, "take_event", recorded)
    return taken


@pytest.fixture
def slow(endpoint):
    proxy = SlowProxy(endpoint, 0.2)
    yield proxy.address
    proxy.close()


def begin(events, do):
    """Begin a call in a thread, and set its event too early, as for the call before.

    Returns the thread, and a list for what the call returns.
    """
    found, before = [], len(events)
    thread = start(lambda: found.append(do()))
    wait_until(lambda: len(events) > before, "the call has begun")
    event = events[before]
    event.set()
    wait_until(lambda: found or not event.is_set(), "the thread has seen the event")
    return thread, found


def test_acquire(name, events):
    lock, other = etcd.Lock(name), etcd.Lock(name)
    with other:
        thread, found = begin(events, lock.acquire)
        assert not found
    thread.join(30)
    assert found == [True]
    lock.release()


@each_loop
def test_acquire_async(loop, name, events):
    found = []

    async def acquire(lock):
        found.append(await lock.acquire_async())

    async def main():
        lock, other = etcd.Lock(name), etcd.Lock(name)
        await other.acquire_async()
        before = len(events)
        async with anyio.create_task_group() as group:
            group.start_soon(acquire, lock)
            while len(events) == before:
                await anyio.sleep(0)
            events[before].set()
            while events[before].is_set() and not found:
                await anyio.sleep(0)
            await other.release_async()
        await lock.release_async()

    run(loop, main)
    assert found == [True]


def test_connecting(name, events, endpoint_with_users):
    proxy = SlowProxy(endpoint_with_users, 0.2)
    lock = etcd.Lock(name, endpoints=proxy.address, user="locker:open")
    thread, found = begin(events, lock.acquire)
    thread.join(30)
    assert found == [True]
    lock.release()
    proxy.close()


def test_holder(name, events, slow):
    lock = etcd.Lock(name, endpoints=slow)
    with lock:
        thread, found = begin(events, lock.holder)
        thread.join(30)
    assert len(found) == 1
    assert found[0] is not None


def test_guard(name, events, slow):
    with etcd.Lock(name, endpoints=slow) as lock:
        lock.guard(etcd.Txn().put("row", "1"))
        thread, found = begin(events, lambda: lock.guard(etcd.Txn().get("row")))
        thread.join(30)
    assert found == [[b"1"]]
