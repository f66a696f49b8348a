"""Locks and events across processes for threads of Python and goroutines."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from golock import process
from golock.process import Event, Lock
from waiting import asleep_in_kernel, start, wait_until

SOURCE = Path(__file__).resolve().parents[2]
PEER = Path(__file__).resolve().parent / "process_peer"
GO = shutil.which(os.environ.get("GO", "go"))

pytestmark = [
    pytest.mark.skipif(GO is None, reason="there is no go command"),
    pytest.mark.skipif(
        not (SOURCE / "go.mod").exists(),
        reason="the source tree is not beside the tests",
    ),
    # A first build fills Go's cache, which takes minutes on a small machine.
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    output = tmp_path_factory.mktemp("process_peer") / "peer"
    subprocess.run([GO, "build", "-buildvcs=false", "-o", str(output), "."], cwd=PEER, check=True)
    return output


class Peer(subprocess.Popen):
    def order(self, what):
        self.stdin.write(f"{what}\n")
        self.stdin.flush()

    def answer(self):
        return self.stdout.readline().strip()


@pytest.fixture(params=["ä name: /.", "%"])
def name(request):
    chosen = request.param + secrets.token_hex(4)
    yield chosen
    process.unlink(chosen)
    process.unlink(f"{chosen} event")


@pytest.fixture(params=["1", "0"], ids=["sentinel", "byte locks"])
def peer(request, program, name, tmp_path):
    file = tmp_path / "number"
    with Peer(
        [program, name, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GOLOCK_SENTINEL": request.param},
    ) as started:
        started.file = file
        yield started
        started.kill()


def test_each_waits_for_the_other(peer, name):
    lock = Lock(name)
    peer.order("lock")
    assert peer.answer() == "locked false"
    assert not lock.acquire(False)
    assert lock.holder == peer.pid
    waiter = start(lock.acquire)
    wait_until(lambda: asleep_in_kernel(waiter), "the thread waits")
    peer.order("unlock")
    assert peer.answer() == "unlocked"
    waiter.join()
    peer.order("lock")
    lock.release()
    assert peer.answer() == "locked false"


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
    wait_until(lambda: asleep_in_kernel(waiter), "the thread waits")
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
    wait_until(lambda: asleep_in_kernel(waiter), "the thread waits")
    peer.order("set")
    assert peer.answer() == "set"
    waiter.join()
    assert event.is_set()
