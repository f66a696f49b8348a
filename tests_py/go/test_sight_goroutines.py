"""golock.sight records goroutines beside threads, when their Go runtime is golock's core."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from go_tool import GO, needs_go, needs_source, takes_minutes

PEER = Path(__file__).resolve().parent / "sight_peer"

pytestmark = [needs_go, needs_source, takes_minutes]

PRELUDE = """
import ctypes, faulthandler, queue, sys, threading, time
import golock
from golock import sight

faulthandler.dump_traceback_later(60, exit=True)
go = ctypes.CDLL(sys.argv[1])  # releases the GIL for each call
go_with_gil = ctypes.PyDLL(sys.argv[1])  # keeps it
for library in go, go_with_gil:
    library.Core.restype = ctypes.c_void_p
    for name in "Lock", "Unlock":
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.TryLock.argtypes = [ctypes.c_void_p, ctypes.c_double]
    library.TryLock.restype = ctypes.c_bool
    library.HoldAndWait.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
for name in "Release", "AcquireInGoroutine", "ReleaseInGoroutine":
    getattr(go, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
go.SetInGoroutine.argtypes = [ctypes.c_void_p]
golock.use_core(go.Core())
GO_LOCK = None

def address(lock):
    return golock.shared(lock).address

def until(condition):
    while True:
        found = condition()
        if found:
            return found
        time.sleep(0.001)

def waits():
    return sight.snapshot().waits

def known(lock):
    [found] = [each for each in sight.snapshot().locks if each.id == id(lock)]
    return found

def who(thread):
    return "main" if thread.is_main else thread.kind
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    output = tmp_path_factory.mktemp("sight_peer") / "peer.so"
    command = [GO, "build", "-buildvcs=false", "-buildmode=c-shared", "-o", str(output), "."]
    subprocess.run(command, cwd=PEER, env={**os.environ, "CGO_ENABLED": "1"}, check=True)
    return output


@pytest.fixture
def run(python, check, library):
    """Run a program, and check what it prints."""

    def run(code, stdout, **options):
        result = python(PRELUDE + code, str(library), **options)
        check(result, stdout)

    return run


def test_a_goroutine_waits_and_holds(run):
    run(
        """
sight.start("owners", on_deadlock=None)
first, second = golock.Lock(), golock.Lock()
second.acquire()
go.HoldAndWait(address(first), address(second))
[wait] = until(waits)
print(who(wait.thread), wait.lock.id == id(second), who(wait.lock.holder), wait.limited)
print([frame.function for frame in wait.stack], wait.stack[-1].file.endswith("main.go"))
held = known(first)
print(held.holder == wait.thread, held.acquired_at[-1].function)
second.release()
go.Join()
print(list(waits()), first.locked(), known(first).holder)
""",
        "goroutine True main False\n"
        "['main.start.func1', 'main.HoldAndWait.func1', 'main.holdAndWait'] True\n"
        "True main.holdAndWait\n"
        "[] False None\n",
    )


def test_a_goroutine_and_two_threads_are_deadlocked(run):
    run(
        """
told = queue.SimpleQueue()
sight.start("owners", on_deadlock=told.put, threshold=0.02)
first, second, third = golock.Lock(), golock.Lock(), golock.Lock()

def work():
    with third:
        go.HoldAndWait(address(second), address(third))
        first.acquire()
        first.release()

first.acquire()
thread = threading.Thread(target=work)
thread.start()
until(lambda: len(waits()) == 2)
threading.Thread(target=lambda: (print(told.get().certain), first.release())).start()
second.acquire()  # until another thread ends the deadlock
thread.join()
second.release()
go.Join()
""",
        "True\n",
    )


def test_go_code_in_a_thread_of_python_is_that_thread(run):
    run(
        """
told = queue.SimpleQueue()
sight.start("owners", on_deadlock=told.put, threshold=0.02)
lock = golock.Lock()
go.Lock(GO_LOCK)
print([(who(lock.holder), lock.kind) for lock in sight.snapshot().locks if lock.is_go])

def work():
    with lock:
        print(go.TryLock(GO_LOCK, 1000))
        go.Unlock(GO_LOCK)

thread = threading.Thread(target=work, name="worker")
thread.start()
[wait] = until(waits)
print(wait.thread.name, wait.has_gil, wait.limited)
print(lock.acquire(timeout=2), sorted(wait.thread.name for wait in told.get().waits))
go.Unlock(GO_LOCK)
thread.join()
""",
        "[('Python', 'Lock')]\nworker False True\nFalse ['MainThread', 'worker']\nTrue\n",
    )


@pytest.mark.skipif(
    sysconfig.get_config_var("Py_GIL_DISABLED") == 1, reason="there is no GIL to wait with"
)
def test_go_code_that_waits_with_the_gil_is_marked(run):
    run(
        """
import os, subprocess
sight.start("owners", on_deadlock=None)
sight.listen()
ask = f'''
import os, sys
from golock.sight._client import Client
with Client({os.getpid()}) as client:
    while not (waits := client.image().waits):
        pass
    print([(wait.flags & 2, wait.deadline == 2**63 - 1) for wait in waits])
'''
read, write = os.pipe()
asking = subprocess.Popen([sys.executable, "-c", ask], stdout=write)
go.Lock(GO_LOCK)
go.UnlockAfter(read)
go_with_gil.Lock(GO_LOCK)  # until the other process has printed
asking.wait()
print(os.read(read, 100))
go.Unlock(GO_LOCK)
""",
        "b'(2, True)]\\n'\n",
    )


def test_all_kinds_of_waits(run):
    run(
        """
sight.start("waits")
go.WaitForAll()
print(sorted(wait.lock.kind for wait in until(lambda: len(waits()) == 5 and waits())))
print({who(wait.thread) for wait in waits()}, {wait.lock.is_go for wait in waits()})
go.EndAll()
print(list(waits()))
""",
        "['Barrier', 'Condition', 'Event', 'Lock', 'Semaphore']\n{'goroutine'} {True}\n[]\n",
    )


def test_permits_are_those_of_goroutines_and_who_set_an_event_is_known(run):
    run(
        """
sight.start("owners")
semaphore, event = golock.Semaphore(0), golock.Event()
go.Release(address(semaphore), 3)
go.AcquireInGoroutine(address(semaphore), 2)
print([(who(permit.thread), permit.count) for permit in sight.snapshot().permits])
go.ReleaseInGoroutine(address(semaphore), 1)
semaphore.release()
print([(who(permit.thread), permit.count) for permit in sight.snapshot().permits])
go.SetInGoroutine(address(event))
print(who(known(event).last_set_by), known(event).last_at[-1].function.rpartition(".")[2])
""",
        "[('goroutine', 2)]\n[]\ngoroutine func1\n",
    )


def test_a_lock_within_an_object_of_go(run):
    run(
        """
sight.start("owners", on_deadlock=None)
go.WaitInObject()
[wait] = until(waits)
print(who(wait.thread), wait.lock.is_go, who(wait.lock.holder))
""",
        "goroutine True goroutine\n",
    )


def test_a_thread_takes_a_lock_in_go_after_the_interpreter_has_ended(python, check, library):
    code = """
import os
sight.start("owners")
lock = golock.Lock()
lock.acquire()
threading.Thread(target=go.Lock, args=(address(lock),), daemon=True).start()
until(waits)

class Last:
    def __init__(self):
        self.lock, self.sleep, self.write = lock, time.sleep, os.write

    def __del__(self):
        self.lock.release()
        while not self.lock.locked():
            self.sleep(0.001)
        self.sleep(0.05)
        self.write(1, b"taken\\n")

sys.last = Last()
"""
    debug = {**os.environ, "PYTHONMALLOC": "debug"}  # memory that was freed is overwritten
    check(python(PRELUDE + code, str(library), env=debug), "taken\n")


@pytest.mark.slow
def test_many_locks_of_gos_leave_room_for_others(run):
    run(
        """
faulthandler.dump_traceback_later(600, exit=True)
sight.start("owners", on_deadlock=None)
go.LockMany(1100000)
other = golock.Lock()
sight.name(other, "other")
with other:
    print([each.holder.is_main for each in sight.snapshot().locks if each.name == "other"])
    print(sight.snapshot().dropped.locks > 500000)
""",
        "[True]\nTrue\n",
        timeout=600,
    )
