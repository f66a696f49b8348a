"""Go code of another Go runtime in the process uses Python's events and semaphores."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from go_tool import GO, needs_go, needs_source, takes_minutes

VIEW = Path(__file__).resolve().parent / "view"

pytestmark = [needs_go, needs_source, takes_minutes]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    output = tmp_path_factory.mktemp("view") / "view.so"
    command = [GO, "build", "-buildvcs=false", "-buildmode=c-shared", "-o", str(output), "."]
    subprocess.run(command, cwd=VIEW, env={**os.environ, "CGO_ENABLED": "1"}, check=True)
    return output


@pytest.fixture(params=[False, True], ids=["core not loaded", "core loaded"])
def run(request, python, check, library):
    """Run a program after view/view.py, and check what it prints."""

    def run(code, stdout):
        environment = {**os.environ, "PYTHONPATH": str(VIEW)}
        code = f"from view import *\n{code}"
        check(python(code, str(library), str(request.param), env=environment), stdout)

    return run


def test_python_waits_for_an_event_and_go_sets_it(run):
    run(
        """
for library in go, go_with_gil:
    event = golock.Event()
    at = address(event)
    waited = in_threads(4, event.wait)
    until(lambda: asleep(at) == 4)
    library.EventSet(at)
    print(waited(), event.is_set(), library.EventIsSet(at))
    library.EventClear(at)
    print(event.is_set(), event.wait(0), library.EventIsSet(at))
""",
        "[True, True, True, True] True True\nFalse False False\n" * 2,
    )


def test_go_waits_for_an_event_and_python_sets_it(run):
    run(
        """
event = golock.Event()
at = address(event)
waited = in_threads(1, go.EventWait, at, 5, FOREVER)
until(lambda: go.Waiting() == 5 and asleep(at) == 1)
event.set()
print(waited(), go.EventIsSet(at), go_with_gil.EventWait(at, 5, 0))
event.clear()
print(go.EventIsSet(at), go.EventWait(at, 5, 0.001))
""",
        "[5] True 5\nFalse 0\n",
    )


@pytest.mark.parametrize("setter", ["Python", "Go"])
def test_an_event_set_and_cleared_lets_all_of_both_go_on(run, setter):
    change = {
        "Python": "event.set(); event.clear()",
        "Go": "go_with_gil.EventSet(at); go_with_gil.EventClear(at)",
    }[setter]
    run(
        f"""
event = golock.Event()
at = address(event)
for _ in range(50):
    python = in_threads(3, event.wait)
    goroutines = in_threads(2, go.EventWait, at, 4, FOREVER)
    until(lambda: go.Waiting() == 8 and asleep(at) == 4)
    {change}
    assert (python(), goroutines(), event.is_set()) == ([True] * 3, [4] * 2, False)
""",
        "",
    )


def test_goroutines_that_give_up_leave_threads_asleep(run):
    run(
        """
event = golock.Event()
at = address(event)
waited = in_threads(3, event.wait)
until(lambda: asleep(at) == 3)
print(go.EventWait(at, 5, 0.01))
until(lambda: asleep(at) == 3)
goroutines = in_threads(1, go.EventWait, at, 5, FOREVER)
until(lambda: go.Waiting() == 5 and asleep(at) == 4)
print(event.wait(0.01))
go.EventSet(at)
print(waited(), goroutines())
""",
        "0\nFalse\n[True, True, True] [5]\n",
    )


def test_an_event_needs_no_core(run):
    run(
        """
before = golock._golock.core()["loaded"]
event = golock.Event()
at = address(event)
waited = in_threads(1, go.EventWait, at, 2, FOREVER)
python = in_threads(1, event.wait)
until(lambda: go.Waiting() == 2 and asleep(at) == 2)
event.set()
print(waited(), python(), golock._golock.core()["loaded"] == before)
""",
        "[2] [True] True\n",
    )


def test_python_waits_for_permits_and_go_releases_them(run):
    run(
        """
for library in go, go_with_gil:
    semaphore = golock.Semaphore(0)
    at = address(semaphore)
    waited = in_threads(6, semaphore.acquire)
    until(lambda: asleep(at) == 6)
    for n in 1, 3, 2:
        library.SemaphoreRelease(at, n)
    print(waited(), library.SemaphorePermits(at), semaphore.acquire(blocking=False))
    library.SemaphoreRelease(at, 3)
    print(semaphore._value, semaphore.acquire(), library.SemaphorePermits(at))
""",
        "[True, True, True, True, True, True] 0 False\n3 True 2\n" * 2,
    )


def test_go_waits_for_permits_and_python_releases_them(run):
    run(
        """
semaphore = golock.Semaphore(0)
at = address(semaphore)
waited = in_threads(1, go.SemaphoreAcquire, at, 6, FOREVER)
until(lambda: go.Waiting() == 6 and asleep(at) == 1)
for n in 1, 3, 2:
    semaphore.release(n)
print(waited(), semaphore._value, go.SemaphoreAcquire(at, 2, 0.001))
semaphore.release(3)
print(go_with_gil.SemaphoreAcquire(at, 5, 0), semaphore.acquire(blocking=False))
""",
        "[6] 0 0\n3 False\n",
    )


def test_permits_go_back_and_forth(run):
    run(
        """
there, back = golock.Semaphore(0), golock.Semaphore(0)
passed = in_threads(2, go.PassOn, address(there), address(back), 2000)
for _ in range(4000):
    there.release()
    assert back.acquire()
passed()
print(there._value, back._value)
""",
        "0 0\n",
    )


def test_one_permit_excludes_threads_and_goroutines(run):
    run(
        """
semaphore = golock.Semaphore(1)
at = address(semaphore)
number = ctypes.c_int64()

def count():
    for _ in range(2000):
        with semaphore:
            number.value += 1

python = in_threads(4, count)
goroutines = in_threads(2, go.CountExclusively, at, ctypes.addressof(number), 3, 2000)
python(), goroutines()
print(number.value, semaphore._value, go.SemaphorePermits(at))
""",
        "20000 1 1\n",
    )


def test_no_permit_is_lost_by_those_who_give_up(run):
    run(
        """
semaphore = golock.Semaphore(0)
at = address(semaphore)

def take_in_python():
    return sum(semaphore.acquire(timeout=i % 7 * 0.0001) for i in range(300))

def take_in_go():
    return sum(go.SemaphoreAcquire(at, 3, i % 7 * 0.0001) for i in range(300))

def give_in_python():
    for i in range(300):
        semaphore.release(1 + i % 4)

def give_in_go():
    for i in range(300):
        go.SemaphoreRelease(at, 1 + i % 4)

takers = [in_threads(2, take) for take in (take_in_python, take_in_go)]
givers = [in_threads(2, give) for give in (give_in_python, give_in_go)]
for results in givers:
    results()
taken = sum(sum(results()) for results in takers)
print(taken + semaphore._value, semaphore._value == go.SemaphorePermits(at))
""",
        "3000 True\n",
    )


def test_a_forked_child_shares_what_its_parent_waited_for(python, check, library):
    """The word in the child says that a thread waits, but no thread of the child does."""
    environment = {**os.environ, "PYTHONPATH": f"{VIEW}:{VIEW.parents[1]}"}
    code = """
import os
import sys
import warnings

import golock
from waiting import asleep_on, start, wait_until

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
semaphore = golock.Semaphore(0)
thread = start(semaphore.acquire)
wait_until(lambda: asleep_on(semaphore, thread), "a thread of the parent sleeps")
if (child := os.fork()) == 0:
    from view import *

    at = address(semaphore)
    waited = in_threads(1, go.SemaphoreAcquire, at, 2, FOREVER)
    until(lambda: go.Waiting() == 2 and asleep(at) == 1)
    semaphore.release(2)
    print(waited(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    check(python(code, str(library), "False", env=environment), "[2]\n")
