"""Events across processes: golock.process.Event."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import multiprocessing
import os
import pickle
import platform
import secrets
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

import limits
from children import Child
from golock import process
from golock.process import Event, Lock
from waiting import asleep_on_shared_word, join, start, wait_until

# From 3.12 on, os.fork() warns when the process has threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture
def name():
    chosen = f"test {secrets.token_hex(8)}"
    yield chosen
    with contextlib.suppress(FileNotFoundError):
        process.unlink(chosen)


def waiter(event, timeout=None):
    """Return a child that sleeps until the event is set, and then ends."""

    def work(_):
        assert event.wait(timeout)

    child = Child(work)
    wait_until(child.asleep, "the waiter sleeps")
    return child


# The methods ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Event, threading.Event])
def test_it_is_an_event(make):
    event = make()
    assert event.is_set() is False
    for timeout in (0, -1, 0.01):
        assert event.wait(timeout) is False
    assert event.wait(timeout=0.01) is False
    for _ in range(2):
        assert event.set() is None
        assert event.is_set() is True
        assert event.wait() is True
        assert event.wait(0) is True
        assert event.wait("ignored") is True
    for _ in range(2):
        assert event.clear() is None
        assert event.is_set() is False
    with pytest.raises(OverflowError):
        event.wait(1e300)
    with pytest.raises(TypeError):
        event.wait("text")
    with pytest.raises(TypeError):
        event.wait(1, 2)


def test_timeout_is_kept():
    began = time.monotonic()
    assert Event().wait(0.05) is False
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("clears", [False, True], ids=["", "cleared at once"])
def test_set_wakes_waiters_of_all_processes(clears):
    event = Event()
    children = [waiter(event) for _ in range(10)]
    answers = []
    threads = [start(lambda: answers.append(event.wait())) for _ in range(10)]
    for thread in threads:
        wait_until(lambda thread=thread: asleep_on_shared_word(thread), "the thread waits")
    event.set()
    if clears:
        event.clear()
    assert [child.status() for child in children] == [0] * 10
    join(threads)
    assert answers == [True] * 10
    assert event.is_set() is not clears


def test_processes_take_turns():
    there, back = Event(), Event()

    def work(_):
        for _ in range(500):
            there.wait()
            there.clear()
            back.set()

    child = Child(work)
    for _ in range(500):
        there.set()
        back.wait()
        back.clear()
    assert child.status() == 0


def test_control_c_ends_a_wait():
    event = Event()

    def work(child):
        child.ready()
        with contextlib.suppress(KeyboardInterrupt):
            event.wait()
            os._exit(2)

    child = Child(work).wait_ready()
    wait_until(child.asleep, "it waits")
    os.kill(child.pid, signal.SIGINT)
    assert child.status() == 0


def test_wait_goes_on_after_a_signal_handler():
    event = Event()

    def work(child):
        signal.signal(signal.SIGUSR1, lambda *_: child.ready())
        signal.signal(signal.SIGUSR2, lambda *_: event.set())
        child.ready()
        assert event.wait()

    child = Child(work).wait_ready()
    for number in signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2:
        wait_until(child.asleep, "it waits")
        os.kill(child.pid, number)
        if number == signal.SIGUSR1:
            child.wait_ready()
    assert child.status() == 0


def test_handler_that_forks_in_a_wait():
    """The wait goes on in both."""
    event = Event()

    def work(child):
        pids = []
        signal.signal(signal.SIGUSR1, lambda *_: (pids.append(os.fork()), child.ready()))
        child.ready()
        assert event.wait()
        if pids[0]:
            assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0

    child = Child(work).wait_ready()
    wait_until(child.asleep, "it waits")
    os.kill(child.pid, signal.SIGUSR1)
    child.wait_ready().wait_ready()
    event.set()
    assert child.status() == 0


# Names and pickles ----------------------------------------------------------------------------


def test_unrelated_processes_share_a_name(name, python, check):
    event = Event(name)
    program = """
        import sys
        from golock.process import Event
        event = Event(sys.argv[1])
        print(event.is_set(), event.name == sys.argv[1])
        event.set()
        """
    check(python(program, name), "False True\n")
    assert event.is_set()
    assert repr(event) == f"<golock.process.Event {name!r}: set>"
    assert repr(Event()) == "<golock.process.Event: unset>"
    process.unlink(name)
    assert not Event(name).is_set()


def set_it(event, ready):
    ready.send(event.is_set())
    event.set()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_sent_to_a_child(method, name):
    context = multiprocessing.get_context(method)
    for event in Event(), Event(name):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=set_it, args=(event, sender))
        child.start()
        assert receiver.recv() is False
        assert event.wait(60)
        child.join()
        assert child.exitcode == 0


def test_copy_is_the_same_event(name):
    for event in Event(), Event(name):
        for other in copy.copy(event), pickle.loads(pickle.dumps(event)):
            event.clear()
            other.set()
            assert event.is_set()


def test_page_is_of_one_kind(name):
    path = Path(process.folder(), name)
    lock = Lock(name)
    for _ in range(2):
        with pytest.raises(OSError, match="not the page of an event") as raised:
            Event(name)
        assert (raised.value.errno, raised.value.filename) == (errno.EINVAL, str(path))
        lock = None
    path.write_bytes(b"somebody's data" * 2000)
    assert lock is None
    with pytest.raises(OSError, match="not a page of golock's"):
        Event(name)


def test_refused_event_leaves_the_lock(name, monkeypatch):
    """No descriptor of the lock's file is closed, so its holder does not look dead."""
    monkeypatch.setenv("GOLOCK_SENTINEL", "0")

    def work(child):
        lock = Lock(name)
        lock.acquire()
        with contextlib.suppress(OSError):
            Event(name)
        child.ready()
        child.pause()

    child = Child(work).wait_ready()
    assert not Lock(name).acquire(timeout=0.3)
    child.kill()


def test_descriptors_and_mappings_are_given_back(name):
    def used():
        gc.collect()  # what other tests have left
        return len(list(Path("/proc/self/fd").iterdir())), Path("/proc/self/maps").read_text()

    Event(name)
    fds, maps = used()
    for _ in range(50):
        Event(name).set()
        Event().set()
    after, maps_after = used()
    assert after <= fds  # what other tests have left may be closed meanwhile
    assert maps.count(name) == maps_after.count(name) == 0


def test_event_needs_no_slot_and_no_thread(python, check):
    program = """
        import os
        from golock.process import Event
        event = Event()
        event.wait(0.01)
        event.set()
        print(len(os.listdir("/proc/self/task")))
        """
    check(python(program), "1\n")


def test_closed_descriptor_harms_nobody():
    event = Event()
    child = waiter(event)
    os.close(event._descriptor())
    event.set()
    assert child.status() == 0
    with pytest.raises(OSError, match="descriptor of the page 'memfd:golock' was closed"):
        pickle.dumps(event)


# Deaths ---------------------------------------------------------------------------------------

FUTEX_CALL = {"x86_64": 202, "aarch64": 98}[platform.machine()]
SECOND_ARGUMENT, WAKE, WAKE_OP, WAKE_BITSET = 24, 1, 5, 10
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS


class Wakes(limits.Seccomp):
    """What a process does that wakes others by these futex operations."""

    def __init__(self, answer, *operations):
        rest = len(operations)
        self.program = (
            (limits.LOAD, 0, 0, limits.NUMBER),
            (limits.EQUAL, 0, rest + 1, FUTEX_CALL),
            (limits.LOAD, 0, 0, SECOND_ARGUMENT),
            *((limits.EQUAL, rest - i, 0, operation) for i, operation in enumerate(operations)),
            (limits.RETURN, 0, 0, limits.ALLOW),
            (limits.RETURN, 0, 0, answer),
        )


def word_of(event):
    return struct.unpack("=I", os.pread(event._descriptor(), 4, 128))[0]


def test_killed_when_it_wakes_others():
    """It has woken all and set the event, or neither."""
    event = Event()
    children = [waiter(event) for _ in range(3)]
    before = word_of(event)

    def work(_):
        Wakes(KILL, WAKE, WAKE_OP, WAKE_BITSET).apply()
        event.set()

    assert Child(work).status() == -signal.SIGSYS
    assert not event.is_set()
    assert word_of(event) == before
    assert all(child.asleep() for child in children)
    event.set()
    assert [child.status() for child in children] == [0] * 3


def test_one_operation_wakes_many():
    event = Event()
    children = [waiter(event) for _ in range(100)]

    def work(_):
        Wakes(KILL, WAKE, WAKE_BITSET).apply()
        event.set()

    assert Child(work).status() == 0
    assert [child.status() for child in children] == [0] * 100


def test_refused_wake_is_told():
    event = Event()
    child = waiter(event)

    def work(_):
        Wakes(limits.REFUSE, WAKE_OP).apply()
        with pytest.raises(PermissionError, match="memfd:golock"):
            event.set()
        assert not event.is_set()

    assert Child(work).status() == 0
    event.set()
    assert child.status() == 0


def test_killed_waiter_leaves_nothing():
    event = Event()
    dead, child = waiter(event), waiter(event)
    dead.kill()
    event.set()
    assert child.status() == 0
    event.clear()
    assert not event.wait(0.01)


def test_stopped_waiter_delays_nobody():
    event = Event()
    stopped, child = waiter(event), waiter(event)
    os.kill(stopped.pid, signal.SIGSTOP)
    wait_until(stopped.stopped, "it is stopped")
    event.set()
    event.clear()
    assert child.status() == 0
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.status() == 0
