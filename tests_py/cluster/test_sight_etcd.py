"""golock.sight: locks in etcd."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import urllib.request
from pathlib import Path

import pytest

import golock
from golock import sight
from golock.sight import _golock, _screen, _web
from golock.sight._dump import main as dump
from golock.sight._image import Image
from waiting import join, start, wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

HOLD = """
with lock:
    say(os.getpid())
    sys.stdin.readline()
say("released")
"""


def program(code, name):
    """Start a program in which `lock` is the lock of a name."""
    head = (
        "import os, sys, golock.etcd\n"
        "lock = golock.etcd.Lock(sys.argv[1])\n"
        "def say(what):\n"
        "    print(what, flush=True)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process):
    return process.stdout.readline().strip()


def go_on(process):
    print(file=process.stdin, flush=True)


@pytest.fixture(autouse=True)
def _stopped():
    yield
    sight.stop()


def all_seen(name):
    return [
        lock
        for lock in sight.snapshot().locks
        if lock.kind == "etcd.Lock" and lock.across.name == name
    ]


def seen(name):
    """Return what a snapshot says about the lock of a name."""
    (found,) = all_seen(name)
    return found


def waits_for(name):
    waits = sight.snapshot().waits
    return [wait for wait in waits if wait.lock.across and wait.lock.across.name == name]


def test_the_thread_that_holds_it(name, endpoint):
    sight.start("owners")
    lock = etcd.Lock(name)
    with lock:
        held = seen(name)
        assert (held.name, held.state, held.holder.name) == (name, "held", "MainThread")
        assert held.holder.identifier == threading.get_ident()
        assert held.held_for >= 0
        assert "with lock:" in str(held.acquired_at[-1])
        own = held.across.holder
        assert (own.pid, own.is_this, own.host) == (os.getpid(), True, socket.gethostname())
        assert own.program
        assert held.across.endpoints == (endpoint,)
        assert held.across.token == lock.token
        assert 0 < held.across.lease <= 10
        assert not held.across.is_lost
        assert f"token {lock.token}" in str(sight.snapshot())
    freed = seen(name)
    assert (freed.holder, freed.across.holder, freed.across.token) == (None, None, None)
    assert not freed.across.holder_known  # another process may have taken it since


def test_at_the_level_waits_the_process_is_known(name):
    sight.start("waits")
    with etcd.Lock(name):
        held = seen(name)
        assert (held.state, held.holder, held.across.holder.is_this) == ("held", None, True)
        assert held.held_by == "an unknown thread of this process"


def test_the_process_that_holds_it_and_the_thread_that_waits(name):
    sight.start("waits")
    with program(HOLD, name) as holder:
        pid = int(line(holder))
        lock = etcd.Lock(name)
        got = threading.Event()

        def take():
            if lock.acquire(timeout=1000):
                got.set()
                lock.release()

        waiter = start(take)
        wait_until(lambda: waits_for(name) and seen(name).across.holder, "the holder is known")
        held = seen(name)
        found = held.across.holder
        assert (held.state, held.holder, held.acquired_at) == ("held", None, ())
        assert (found.pid, found.host, found.is_this) == (pid, socket.gethostname(), False)
        assert found.program.startswith("python")
        assert (held.across.waiting, held.across.before) == (1, 1)
        assert held.across.known_for is None or held.across.known_for >= 0
        wait_until(lambda: seen(name).across.known_for is None, "the watch stands")
        (wait,) = waits_for(name)
        assert wait.thread.identifier == waiter.ident
        assert wait.limited
        assert "lock.acquire(timeout=1000)" in str(wait.stack[-1])
        said = f"held by process {pid} ({found.program}) of {socket.gethostname()}"
        assert held.held_by == said.removeprefix("held by ")
        assert said in str(sight.snapshot())
        go_on(holder)
        got.wait()
        join([waiter])
        wait_until(lambda: seen(name).across.holder is None, "it has been released")
        assert seen(name).across.waiting == 0


def test_a_holder_that_was_seen_is_known_until_it_releases(name):
    sight.start("waits")
    lock = etcd.Lock(name)
    with program(HOLD, name) as holder:
        pid = int(line(holder))
        wait_until(lambda: not lock.acquire(timeout=0.2) and seen(name).across.holder, "seen")
        wait_until(lambda: seen(name).across.known_for is None, "the watch stands")
        wait_until(lambda: seen(name).across.before is None, "the wait's key is given up")
        assert seen(name).across.holder.pid == pid
        go_on(holder)
        assert line(holder) == "released"
        wait_until(lambda: seen(name).across.holder is None, "the watch tells of the release")


def test_a_snapshot_does_not_wait_for_etcd(name):
    """A server that never answers: who holds the lock is unknown, and who waits is not."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = "{}:{}".format(*silent.getsockname())
        lock = etcd.Lock(name, endpoints=[address], patience=1000)
        sight.start("owners")
        waiter = start(lambda: lock.acquire(timeout=2))
        # It waits for the client first, and then for the lock.
        wait_until(
            lambda: waits_for(name) and seen(name).across.endpoints == (address,), "has a client"
        )
        wait_until(lambda: waits_for(name), "waits")
        found = seen(name)
        assert (found.state, found.across.holder, found.across.waiting) == ("", None, 1)
        assert not found.across.holder_known
        join([waiter])


def test_tasks(name):
    async def visit(lock):
        async with lock:
            pass

    async def until(condition):
        for _ in range(30_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("the condition does not hold")

    async def main():
        sight.start("owners")
        lock = etcd.Lock(name)
        async with etcd.Lock(name):
            held = seen(name)
            assert (held.holder.kind, held.holder.name) == ("task", "owner")
            assert "async with etcd.Lock(name):" in str(held.acquired_at[-1])
            visitor = asyncio.create_task(visit(lock), name="visitor")
            await until(lambda: waits_for(name))
            (wait,) = waits_for(name)
            assert (wait.thread.kind, wait.thread.name) == ("task", "visitor")
            assert "async with lock:" in str(wait.stack[-1])
        await visitor
        assert waits_for(name) == []
        assert not seen(name).released_by_another

    async def named():
        await asyncio.create_task(main(), name="owner")

    asyncio.run(named())


def test_objects_of_one_lock_are_one(name):
    sight.start("owners")
    first, second = etcd.Lock(name), etcd.Lock(name)
    with first:
        assert second.acquire(blocking=False) is False
        assert seen(name).holder is not None
    del first, second
    assert all_seen(name) == []


def test_a_lost_one(name, endpoint):
    sight.start("owners")
    lock = etcd.Lock(name, ttl=1)
    lock.acquire()
    lease = int(lock.key.rpartition("/")[2].partition("-")[0], 16)
    revoke = urllib.request.Request(
        f"http://{endpoint}/v3/lease/revoke", json.dumps({"ID": str(lease)}).encode()
    )
    with urllib.request.urlopen(revoke, timeout=30):
        pass
    wait_until(lambda: lock.lost, "the next renewal finds no lease")
    found = seen(name)
    assert (found.state, found.across.holder, found.across.is_lost) == ("", None, True)
    assert f"{name} (etcd.Lock, lost, token {lock.token}" in str(sight.snapshot())
    with pytest.raises(golock.LockLost):
        lock.release()
    assert not seen(name).across.is_lost


def test_a_deadlock_with_a_lock_of_threads(name):
    sight.start("owners", on_deadlock="raise", threshold=0.05)
    across, inner, meeting = etcd.Lock(name), golock.Lock(), threading.Barrier(2)
    caught = []

    def inner_last():
        with across:
            meeting.wait()
            try:
                inner.acquire()
            except golock.DeadlockError as error:
                caught.append(str(error))

    def across_last():
        with inner:
            meeting.wait()
            with across:
                pass

    join([start(inner_last), start(across_last)])
    assert f"for {name}, which Thread-" in caught[0]


def test_dump_top_and_the_page_show_it(name, monkeypatch, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(sight.__path__[0], "snapshot.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(schema))
    with tempfile.TemporaryDirectory() as folder, program(HOLD, name) as holder:
        pid = int(line(holder))
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        lock = etcd.Lock(name)
        sight.start("waits")
        sight.listen()
        try:
            waiter = start(lambda: lock.acquire() and lock.release())
            wait_until(lambda: seen(name).across.holder, "the holder is known")
            wait_until(lambda: waits_for(name), "waits")
            assert dump([str(os.getpid())]) == 0
            assert f"{name} (etcd.Lock, held by process {pid} (" in capsys.readouterr().out
            assert dump([str(os.getpid()), "--json"]) == 0
            document = json.loads(capsys.readouterr().out)
            assert list(validator.iter_errors(document)) == []
            image = Image(_golock.sight_image(0))
            (row,) = [each for each in _screen.picture(image).rows if each.name == name]
            assert row.holder.startswith(f"process {pid} (")
            (shown,) = [
                each for each in _web.picture(image)["snapshot"]["locks"] if each["name"] == name
            ]
            assert shown["across"]["holder"]["pid"] == pid
            go_on(holder)
            join([waiter])
        finally:
            _golock.sight_listen(None)


def test_a_child_made_by_fork_knows_nothing_of_its_parents_hold(name):
    code = """
        import golock.sight as sight
        sight.start("owners")
        with lock:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    (found,) = [each for each in sight.snapshot().locks if each.across]
                    assert (found.state, found.holder, found.across.token) == ("", None, None)
                    assert not lock.acquire(blocking=False)
                    status = 0
                finally:
                    os._exit(status)
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            say([each.holder.name for each in sight.snapshot().locks if each.across])
    """
    with program(code, name) as process:
        assert line(process) == "0"
        assert line(process) == "['MainThread']"
