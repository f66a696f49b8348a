"""Deadlocks in which goroutines take part, or Go code that waits with the GIL."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HAS_GIL = sysconfig.get_config_var("Py_GIL_DISABLED") != 1
HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="no go command")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("circles") / "circles.so"
    build = ["go", "build", "-buildmode=c-shared", "-o", path, "./circles"]
    subprocess.run(build, cwd=HERE, check=True)
    return str(path)


SETUP = """
import contextlib
import ctypes
import sys
import threading
import golock
from golock import sight

go = ctypes.CDLL(sys.argv[1])
with_gil = ctypes.PyDLL(sys.argv[1])
go.Core.restype = ctypes.c_size_t
go.Member.argtypes = [ctypes.c_size_t] * 2
go.Hold.argtypes = [ctypes.c_size_t, ctypes.c_ssize_t]
with_gil.Wait.argtypes = [ctypes.c_size_t]
golock.use_core(go.Core())
"""

CIRCLE = (
    SETUP
    + """
import queue
import time

members, on_deadlock = sys.argv[2:]
told = queue.SimpleQueue()
sight.start("owners", on_deadlock=told.put if on_deadlock == "put" else "raise", threshold=0.02)
locks = [golock.Lock() for _ in members]
proceed = threading.Event()
holding = threading.Semaphore(0)


def member(mine, other, last):
    mine.acquire()
    holding.release()
    if last:
        proceed.wait()
    try:
        other.acquire()
        other.release()
    except golock.DeadlockError:
        print("raised")
    with contextlib.suppress(RuntimeError):  # the main thread has released it
        mine.release()


with contextlib.ExitStack() as stack:
    addresses = [stack.enter_context(golock.shared(lock)) for lock in locks]
    threads = []
    for index in reversed(range(len(members))):  # each waits for a lock that is held already
        following = (index + 1) % len(members)
        if members[index] == "g":
            go.Member(addresses[index], addresses[following])
        else:
            last = following == 0
            thread = threading.Thread(target=member, args=(locks[index], locks[following], last))
            thread.start()
            threads.append(thread)
            holding.acquire()
    proceed.set()
    if on_deadlock == "put":
        deadlock = told.get(timeout=60)
        kinds = sorted(wait.thread.kind for wait in deadlock.waits)
        print(kinds.count("Python"), kinds.count("goroutine"), deadlock.certain)
        print(len({wait.lock.id for wait in deadlock.waits} & set(map(id, locks))))
        print(all(wait.stack for wait in deadlock.waits), len(sight.deadlocks()), told.empty())
        locks[0].release()
    for thread in threads:
        thread.join()
    go.Join()
"""
)


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("members", ["pgp", "pggp", "pgpgpggp", "p" + 62 * "g" + "p"])
def test_goroutines_are_members_like_threads(library, members):
    result = run(CIRCLE, library, members, "put")
    threads, goroutines = members.count("p"), members.count("g")
    assert result.stderr == ""
    assert result.stdout == (f"{threads} {goroutines} True\n{len(members)}\nTrue 1 True\n")


@pytest.mark.parametrize("members", ["gp", "ggp", "gpgpggp"])
def test_a_thread_raises_and_the_goroutines_go_on(library, members):
    result = run(CIRCLE, library, members, "raise")
    assert (result.stderr, result.stdout) == ("", "raised\n")


STUCK = (
    SETUP
    + """
sight.start("owners", threshold=0.02)
lock = golock.Lock()
sight.name(lock, "the lock")
held = threading.Event()


def hold():
    with lock:
        held.set()
        threading.Event().wait()


if sys.argv[2] == "another":
    threading.Thread(target=hold, name="holder", daemon=True).start()
    held.wait()
else:
    lock.acquire()
with golock.shared(lock) as address:
    with_gil.Wait(address)
"""
)


WITHOUT_A_GIL = pytest.mark.skipif(not HAS_GIL, reason="there is no GIL to wait with")


@pytest.mark.parametrize("holder", [pytest.param("another", marks=WITHOUT_A_GIL), "itself"])
def test_go_code_waits_with_the_gil_for_a_lock_of_a_python_thread(library, holder):
    """The whole process is stuck, and tells why."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, library, holder], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            header, member = process.stderr.readline(), process.stderr.readline()
        finally:
            process.kill()
    certain = "Deadlock" if holder == "another" else "Possible deadlock"
    what = "the GIL" if HAS_GIL else "itself"
    assert header == f"golock.sight: {certain} of a thread with {what}:\n"
    name = "holder" if holder == "another" else "MainThread"
    keeps = ", and keeps the GIL" if HAS_GIL else ""
    waits = rf"MainThread has waited \d\.\d s for the lock, which {name} holds{keeps}:\n"
    assert re.fullmatch(waits, member)


PATIENT = (
    SETUP
    + """
sight.start("owners", threshold=0.02)
lock = golock.Lock()
with golock.shared(lock) as address:
    holder = threading.Thread(target=go.Hold, args=(address, 300))
    holder.start()
    while not lock.locked():
        pass
    with_gil.Wait(address)
    holder.join()
print("went on")
"""
)


def test_go_code_that_holds_a_lock_without_the_gil_can_release_it(library):
    result = run(PATIENT, library)
    assert (result.stderr, result.stdout) == ("", "went on\n")
