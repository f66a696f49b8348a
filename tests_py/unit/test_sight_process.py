"""golock.sight: locks and events across processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import golock
from golock import process, sight
from golock.process import Event, Lock
from golock.sight import _golock, _screen, _web
from golock.sight._dump import main as dump
from golock.sight._image import Image
from waiting import asleep_for_ever, join, start, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture(autouse=True)
def _stopped():
    yield
    sight.stop()


@pytest.fixture
def name():
    chosen = f"test {secrets.token_hex(8)}"
    yield chosen
    with contextlib.suppress(FileNotFoundError):
        process.unlink(chosen)


HOLDER = """
import os, sys
from golock.process import Lock
lock = Lock(sys.argv[1])
lock.acquire()
print(os.getpid(), flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""


class Holder:
    """Another process that holds the lock of a name until it is told to go on."""

    def __init__(self, name, *before):
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", HOLDER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = int(self.process.stdout.readline())
        """As the process itself sees it."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def release(self):
        print(file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "released\n"


def seen(name):
    """Return what a snapshot says about the lock of a name."""
    (found,) = [
        lock
        for lock in sight.snapshot().locks
        if lock.kind == "process.Lock" and lock.across.name == name
    ]
    return found


def waits_for(name):
    waits = sight.snapshot().waits
    return [wait for wait in waits if wait.lock.across and wait.lock.across.name == name]


def is_waited_for(inner):
    return any(wait.lock.id == id(inner) for wait in sight.snapshot().waits)


@pytest.mark.parametrize("level", ["waits", "owners"])
def test_the_process_that_holds_it_and_the_threads_that_wait(name, level):
    with Holder(name) as holder:
        lock = Lock(name)
        sight.start(level)

        def take():
            if lock.acquire(timeout=1000):
                lock.release()

        waiter = start(take)
        wait_until(lambda: waits_for(name), "waits")
        held = seen(name)
        assert (held.name, held.state, held.holder, held.acquired_at) == (name, "held", None, ())
        assert not held.holder_known
        found = held.across.holder
        assert (found.pid, found.host, found.is_this) == (holder.pid, "", False)
        assert found.slot == 1
        assert held.across.holder_known
        assert (held.across.waiting, held.across.is_abandoned) == (1, False)
        (wait,) = waits_for(name)
        assert wait.thread.identifier == waiter.ident
        assert wait.limited
        assert wait.remaining > 900
        assert "lock.acquire(timeout=1000)" in str(wait.stack[-1])
        assert held.held_by == f"process {holder.pid} of this machine, slot 1"
        holder.release()
        join([waiter])
        freed = seen(name)
        assert (freed.state, freed.holder_known, freed.across.holder) == ("free", True, None)
        assert freed.across.holder_known
        assert freed.across.waiting == 0


def test_the_thread_that_holds_it(name):
    sight.start("owners")
    lock = Lock(name)
    with lock:
        held = seen(name)
        assert held.holder.identifier == threading.get_ident()
        assert held.held_for >= 0
        assert "with lock:" in str(held.acquired_at[-1])
        assert held.created_at.function == "test_the_thread_that_holds_it"
        own = held.across.holder
        assert (own.pid, own.is_this, own.host) == (os.getpid(), True, "")
        with Lock(name + "2"):
            assert held.held_by == "MainThread"
    process.unlink(name + "2")
    assert seen(name).holder is None
    assert lock.acquire(False)
    assert seen(name).holder.identifier == threading.get_ident()
    join([start(lock.release)])
    assert seen(name).state == "free"
    assert seen(name).released_by_another


def test_the_thread_that_holds_it_after_another_process_has_released_it(name):
    sight.start("owners")
    lock = Lock(name)
    lock.acquire()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with lock:
        assert seen(name).holder.name == "MainThread"


def test_without_owners_it_says_that_this_process_holds_it(name):
    with Lock(name):
        sight.start("waits")
        held = seen(name)
        assert (held.state, held.holder, held.across.holder.is_this) == ("held", None, True)
        assert held.held_by == "an unknown thread of this process"


def test_owners_begin_and_end_in_mid_hold(name):
    lock = Lock(name)
    with lock:
        sight.start("owners")
        assert seen(name).holder is None
    with lock:
        assert seen(name).holder is not None
        sight.start("waits")
        assert seen(name).holder is None
    with lock:
        assert lock.locked()
        sight.start("owners")
        sight.start("waits")
    assert not lock.locked()


def test_objects_of_one_name_are_one_lock(name):
    sight.start("owners")
    first, second = Lock(name), Lock(name)
    with first:
        assert seen(name).holder is not None
        assert not second.acquire(False)
    sight.name(second, "journal")
    assert seen(name).name == "journal"
    sight.name(first, "")
    assert seen(name).name == name


def test_an_anonymous_one_is_called_by_where_it_was_made():
    sight.start("owners")
    lock = Lock()
    with lock:
        function = "test_an_anonymous_one_is_called_by_where_it_was_made"
        (held,) = [
            each
            for each in sight.snapshot().locks
            if each.kind == "process.Lock"
            and each.created_at
            and each.created_at.function == function
        ]
        line = held.created_at.line
        assert held.name == f"anonymous process.Lock test_sight_process.py:{line} ({function})"
        assert held.across.name is None
        assert held.holder.name == "MainThread"
    sight.name(lock, "the table")
    with lock:
        assert "the table (process.Lock, held by MainThread" in str(sight.snapshot())


@pytest.mark.parametrize("other", ["", " and% more", "caf\u00e9/\N{SNOWMAN}", ".hidden"])
def test_names(name, other):
    sight.start("waits")
    lock = Lock(name + other)
    process.unlink(name + other)
    assert not lock.locked()
    assert seen(name + other).name == name + other


def test_a_dead_holder(name):
    sight.start("owners")
    lock = Lock(name)
    with Holder(name) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        wait_until(lambda: lock.abandoned, "the death")
    assert seen(name).state == "free"
    assert seen(name).across.is_abandoned
    assert seen(name).across.holder is None
    said = rf"\d+ locks? lost or abandoned\n(.*\n)*{name} \(process\.Lock, free, abandoned\)"
    assert re.search(said, str(sight.snapshot()))
    shown = _web.picture(Image(_golock.sight_image(0)))["snapshot"]["locks"]
    assert [each["across"]["is_abandoned"] for each in shown if each["name"] == name] == [True]
    with lock:
        assert seen(name).across.is_abandoned
        lock.recover()
        assert not seen(name).across.is_abandoned


def test_a_process_that_cannot_be_seen_has_no_id(name):
    """The snapshot is made in a PID namespace in which the holder does not exist."""
    inside = ["unshare", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("needs PID namespaces")
    look = (
        "import json, sys\n"
        "from golock import sight\n"
        "from golock.process import Lock\n"
        "lock = Lock(sys.argv[1])\n"
        "sight.start('waits')\n"
        "(found,) = sight.snapshot().locks\n"
        "print(json.dumps([found.across.holder.pid, found.held_by]))\n"
        "(entry,) = sight.snapshot().as_json()['locks']\n"
        "assert entry['across']['holder']['pid'] is None\n"
    )
    with Holder(name) as holder:
        seen_outside = subprocess.run(
            [*inside, sys.executable, "-c", look, name], capture_output=True, text=True, check=True
        )
    assert json.loads(seen_outside.stdout) == [
        None,
        "a process whose id is unknown here of this machine, slot 1",
    ]
    # Seen from outside, the number is that of the process out here.
    with Holder(name, *inside) as holder:
        lock = Lock(name)
        sight.start("waits")
        inner = holder.pid
        found = seen(name).across.holder.pid
        assert found not in (inner, None)
        parent = int(Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent == holder.process.pid
        assert lock.holder == found
        os.kill(found, signal.SIGKILL)


def test_a_child_made_by_fork_holds_nothing(name):
    sight.start("owners")
    lock = Lock(name)
    with lock:
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                held = seen(name)
                parent = held.across.holder
                assert (held.state, held.holder) == ("held", None)
                assert (parent.pid, parent.is_this) == (os.getppid(), False)
                lock.release()
                with lock:
                    assert seen(name).holder is not None
                    assert seen(name).across.holder.pid == os.getpid()
                status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The child has released it, so that this thread does not have it any more.
        assert seen(name).holder is None
        assert lock.acquire(False)
    assert seen(name).released_by_another


def both(first, second, meeting, end):
    first.acquire()
    meeting.wait()
    second.acquire()
    end.wait()
    second.release()


def test_a_deadlock_with_a_lock_of_threads(name):
    sight.start("owners", on_deadlock=None)
    across, inner, meeting = Lock(name), golock.Lock(), threading.Barrier(2)
    end = threading.Event()
    sight.name(inner, "inner")
    threads = [
        start(both, across, inner, meeting, end),
        start(both, inner, across, meeting, end),
    ]
    wait_until(sight.deadlocks, "found")
    (deadlock,) = sight.deadlocks()
    assert {wait.lock.name for wait in deadlock.waits} == {name, "inner"}
    assert f"for {name}, which Thread-" in str(deadlock)
    across.release()
    inner.release()
    end.set()
    join(threads)


def test_it_is_told_and_ended(name, capfd):
    """The wait for the other lock raises, because a wait across processes cannot."""
    sight.start("owners", on_deadlock="raise", threshold=0.05)
    across, inner, meeting = Lock(name), golock.Lock(), threading.Barrier(2)
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
    assert re.search(rf"has waited \d+\.\d s for {name}, which", caught[0])


def test_no_deadlock_with_a_lock_that_another_process_has_taken_over(name):
    """Its owner here is a thread that waits, but it has the lock no more."""
    sight.start("owners", on_deadlock=None)
    across, inner = Lock(name), golock.Lock()
    taken, moved = threading.Event(), threading.Event()

    def first():
        across.acquire()
        taken.set()
        moved.wait()
        with inner:
            pass

    def second():
        with inner:
            moved.wait()
            with across:
                pass

    threads = [start(first), start(second)]
    taken.wait()
    wait_until(inner.locked, "taken")
    code = f"from golock.process import Lock\nLock({name!r}).release()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with Holder(name) as holder:
        moved.set()
        wait_until(lambda: waits_for(name) and is_waited_for(inner), "both wait")
        assert sight.deadlocks() == ()
        assert seen(name).holder is None
        holder.release()
        join(threads)


SETTER = """
import sys
from golock.process import Event
event = Event(sys.argv[1])
event.set() if sys.argv[2] == "set" else event.clear()
"""


def elsewhere(name, what):
    """Set or clear the event of a name in another process."""
    subprocess.run([sys.executable, "-c", SETTER, name, what], check=True)


def seen_event(name):
    """Return what a snapshot says about the event of a name."""
    (found,) = [
        each
        for each in sight.snapshot().locks
        if each.across is not None and each.across.name == name
    ]
    assert found.kind == "process.Event"
    return found


@pytest.mark.parametrize("level", ["waits", "owners"])
def test_an_event_and_the_threads_that_wait(name, level):
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(sight.__path__[0], "snapshot.schema.json").read_text(encoding="utf-8")
    event = Event(name)
    sight.start(level)
    threads = [start(event.wait), start(lambda: event.wait(timeout=1000))]
    wait_until(lambda: len(waits_for(name)) == 2, "wait")
    wait_until(lambda: seen_event(name).across.waiting == 2, "counted")
    found = seen_event(name)
    assert (found.name, found.state, found.holder, found.held_by) == (name, "clear", None, "")
    assert (found.across.holder, found.across.is_abandoned) == (None, False)
    (limited,) = [wait for wait in waits_for(name) if wait.limited]
    assert limited.thread.identifier == threads[1].ident
    assert "event.wait(timeout=1000)" in str(limited.stack[-1])
    said = f"{name} (process.Event, clear, 2 threads of this process waiting)"
    assert said in str(sight.snapshot())
    elsewhere(name, "set")
    join(threads)
    found = seen_event(name)
    assert (found.state, found.across.waiting, found.holder) == ("set", 0, None)
    assert (found.last_set_by, found.acquired_at, found.held_for) == (None, (), None)
    assert waits_for(name) == []
    assert name not in str(sight.snapshot())
    document = json.loads(json.dumps(sight.snapshot().as_json()))
    assert list(jsonschema.Draft202012Validator(json.loads(schema)).iter_errors(document)) == []
    elsewhere(name, "clear")
    assert seen_event(name).state == "clear"


def test_an_anonymous_event_is_called_by_where_it_was_made():
    sight.start("waits")
    event = Event()
    function = "test_an_anonymous_event_is_called_by_where_it_was_made"
    (found,) = [
        each
        for each in sight.snapshot().locks
        if each.kind == "process.Event" and each.created_at and each.created_at.function == function
    ]
    line = found.created_at.line
    assert found.name == f"anonymous process.Event test_sight_process.py:{line} ({function})"
    sight.name(event, "ready")
    (found,) = [each for each in sight.snapshot().locks if each.id == found.id]
    assert (found.name, found.across.name) == ("ready", None)


def test_no_deadlock_with_an_event(name):
    """Any process may set it, though the thread that has set it here waits."""
    sight.start("owners", on_deadlock=None)
    event, inner, meeting = Event(name), golock.Lock(), threading.Barrier(2)

    def first():
        with inner:
            meeting.wait()
            event.wait()

    def second():
        event.set()
        event.clear()
        meeting.wait()
        with inner:
            pass

    threads = [start(first), start(second)]
    wait_until(lambda: waits_for(name) and is_waited_for(inner), "both wait")
    assert sight.deadlocks() == ()
    elsewhere(name, "set")
    join(threads)


def test_the_wait_for_an_event_ends_with_an_exception(name):
    """Of a signal handler."""
    sight.start("waits")
    event = Event(name)

    def interrupt(*_):
        (wait,) = waits_for(name)
        assert wait.is_suspended
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        main = threading.main_thread()
        waker = start(
            lambda: (
                wait_until(lambda: asleep_for_ever(main) and waits_for(name), "sleeps"),
                signal.pthread_kill(main.ident, signal.SIGUSR1),
            )
        )
        with pytest.raises(KeyboardInterrupt):
            event.wait()
        join([waker])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert waits_for(name) == []
    assert seen_event(name).across.waiting == 0


def test_dump_top_and_the_page_show_it(name, monkeypatch, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(sight.__path__[0], "snapshot.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(schema))
    with tempfile.TemporaryDirectory() as folder, Holder(name) as holder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        lock = Lock(name)
        sight.start("waits")
        sight.listen()
        try:
            waiter = start(lambda: lock.acquire() and lock.release())
            wait_until(lambda: waits_for(name), "waits")
            assert dump([str(os.getpid())]) == 0
            said = f"{name} (process.Lock, held by process {holder.pid} of this machine, slot 1,"
            assert said in capsys.readouterr().out
            assert dump([str(os.getpid()), "--json"]) == 0
            document = json.loads(capsys.readouterr().out)
            assert list(validator.iter_errors(document)) == []
            image = Image(_golock.sight_image(0))
            (row,) = [each for each in _screen.picture(image).rows if each.name == name]
            assert row.holder == f"process {holder.pid} of this machine, slot 1"
            (shown,) = [
                each for each in _web.picture(image)["snapshot"]["locks"] if each["name"] == name
            ]
            assert shown["across"]["holder"]["pid"] == holder.pid
            holder.release()
            join([waiter])
        finally:
            _golock.sight_listen(None)
