"""Locks and events across processes for threads of Python and goroutines."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from go_tool import GO, needs_go, needs_source, takes_minutes
from golock import process
from golock.process import Event, Lock
from waiting import FUTEX, FUTEX_WAIT_BITSET, asleep_on_shared_word, start, wait_until

PEER = Path(__file__).resolve().parent / "process_peer"

pytestmark = [needs_go, needs_source, takes_minutes]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    output = tmp_path_factory.mktemp("process_peer") / "peer"
    subprocess.run([GO, "build", "-buildvcs=false", "-o", str(output), "."], cwd=PEER, check=True)
    return output


class Peer(subprocess.Popen):
    def __init__(self, program, name, file, sentinel):
        super().__init__(
            [program, name, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GOLOCK_SENTINEL": sentinel},
        )
        self.file = file

    def order(self, what):
        self.stdin.write(f"{what}\n")
        self.stdin.flush()

    def answer(self):
        return self.stdout.readline().strip()

    def waits(self):
        """Return whether one of its threads sleeps on a word that processes share."""
        calls = (
            file.read_text().split() for file in Path(f"/proc/{self.pid}/task").glob("*/syscall")
        )
        return any(call[0] == FUTEX and int(call[2], 16) == FUTEX_WAIT_BITSET for call in calls)


@pytest.fixture(params=["ä name: /.", "%"])
def name(request):
    chosen = request.param + secrets.token_hex(4)
    yield chosen
    process.unlink(chosen)
    process.unlink(f"{chosen} event")


@pytest.fixture(params=["1", "0"], ids=["sentinel", "byte locks"])
def peer(request, program, name, tmp_path):
    with Peer(program, name, tmp_path / "number", request.param) as started:
        yield started
        started.kill()


def test_each_waits_for_the_other(peer, name):
    lock = Lock(name)
    peer.order("lock")
    assert peer.answer() == "locked false"
    assert not lock.acquire(False)
    assert lock.holder == peer.pid
    waiter = start(lock.acquire)
    wait_until(lambda: asleep_on_shared_word(waiter), "the thread waits")
    peer.order("unlock")
    assert peer.answer() == "unlocked"
    waiter.join()
    peer.order("lock")
    lock.release()
    assert peer.answer() == "locked false"


# Waiters that looked for themselves would do it every 0.05 s, and then go to the end of the line.
def order_of_waiters(program, name, file):
    lock = Lock(name)
    lock.acquire()
    peers = [Peer(program, name, file, "0") for _ in range(5)]
    order = []
    try:
        for peer in peers:
            peer.order("lock")
            wait_until(peer.waits, "it waits")
            time.sleep(0.03)
        lock.release()
        for _ in peers:
            wait_until(lambda: lock.holder, "the next one has the lock")
            (number,) = (n for n, peer in enumerate(peers) if peer.pid == lock.holder)
            order.append(number)
            peers[number].order("unlock")
            assert peers[number].answer() == "locked false"
            assert peers[number].answer() == "unlocked"
    finally:
        for peer in peers:
            with peer:
                peer.kill()
    return order


def test_waiters_keep_their_places(program, name, tmp_path):
    # A waiter that gets no processor for 0.1 s when it is woken may lose its turn.
    orders = (order_of_waiters(program, name, tmp_path / "number") for _ in range(5))
    assert any(order == [0, 1, 2, 3, 4] for order in orders)


def test_none_loses_an_update(peer, name):
    lock = Lock(name)
    peer.file.write_text("0")
    peer.order("count")
    for _ in range(1000):
        with lock:
            peer.file.write_text(str(int(peer.file.read_text()) + 1))
    assert peer.answer() == "counted"
    assert peer.file.read_text() == "5000"


def test_go_program_dies_with_the_lock(peer, name):
    lock = Lock(name)
    peer.order("lock")
    assert peer.answer() == "locked false"
    waiter = start(lock.acquire)
    wait_until(lambda: asleep_on_shared_word(waiter), "the thread waits")
    peer.kill()
    waiter.join()
    assert lock.recover() == 1
    lock.release()


def test_python_program_dies_with_the_lock(peer, name, python):
    program = """
        import os, sys
        from golock.process import Event, Lock
        Lock(sys.argv[1]).acquire()
        os._exit(0)
        """
    assert python(program, name).returncode == 0
    peer.order("lock")
    assert peer.answer() == "locked true"
    peer.order("recover")
    assert peer.answer() == "recovered 1"
    peer.order("unlock")
    assert peer.answer() == "unlocked"
    assert not Lock(name).abandoned


def test_event_lets_the_other_go_on(peer, name):
    event = Event(f"{name} event")
    peer.order("wait")
    event.set()
    assert peer.answer() == "waited <nil>"
    assert peer.answer() == "cleared false"
    assert not event.is_set()
    waiter = start(event.wait)
    wait_until(lambda: asleep_on_shared_word(waiter), "the thread waits")
    peer.order("set")
    assert peer.answer() == "set"
    waiter.join()
    assert event.is_set()
