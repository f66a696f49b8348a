"""Interpreters that end while threads wait."""

from __future__ import annotations

import os

import pytest

from family import KINDS

PRELUDE = """
import os, sys, threading, time
import golock
lock = golock.allocate_lock()
def state(thread):
    with open(f'/proc/self/task/{thread.native_id}/stat') as file:
        return file.read().rpartition(') ')[2][0]
def wait_asleep(thread):
    while state(thread) != 'S':
        time.sleep(0.001)
"""


def test_daemon_threads_blocked_at_exit(python, check):
    check(
        python(
            PRELUDE
            + """
lock.acquire()
for acquire in [lock.acquire, lambda: lock.acquire(timeout=1000)] * 20:
    thread = threading.Thread(target=acquire, daemon=True)
    thread.start()
wait_asleep(thread)
print('end')
"""
        ),
        "end\n",
    )


def test_daemon_threads_contending_at_exit(python, check):
    check(
        python(
            PRELUDE
            + """
def work():
    while True:
        with lock:
            pass
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print('end')
"""
        ),
        "end\n",
    )


def test_main_thread_takes_the_lock_while_it_ends(python, check):
    """The release wakes a waiter that never runs again; the main thread must not wait for it."""
    check(
        python(
            PRELUDE
            + """
class AtEnd:
    def __del__(self, lock=lock, write=os.write):
        # Daemon threads no longer get the GIL.
        for _ in range(3):
            lock.release()
            lock.acquire()
        write(1, b'end\\n')
golock.set_handoff(0)
lock.acquire()
for _ in range(3):
    thread = threading.Thread(target=lock.acquire, daemon=True)
    thread.start()
wait_asleep(thread)
time.sleep(0.01)
sys.at_end = AtEnd()
del AtEnd
"""
        ),
        "end\n",
    )


def test_threads_that_are_not_daemons_are_waited_for(python, check):
    check(
        python(
            PRELUDE
            + """
lock.acquire()
threading.Thread(target=lambda: (lock.acquire(), print('taken'))).start()
threading.Timer(0.05, lock.release).start()
"""
        ),
        "taken\n",
    )


def test_lock_outlives_the_modules(python, check):
    check(
        python(
            PRELUDE
            + """
class Holder:
    def __del__(self, lock=lock, write=os.write):
        with lock:
            write(1, b'taken\\n')
sys.holder = Holder()
"""
        ),
        "taken\n",
    )


FAMILY = (
    PRELUDE
    + """
import family
from waiting import waiters
def start(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_asleep(thread)
class AtEnd:
    def __init__(self, call):
        self.call = call
    def __del__(self, write=os.write):
        self.call()
        write(1, b'end\\n')
"""
)
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=["", "1"], ids=["", "dev"])
def prints(request, python, check):
    """Run a program, in development mode or not, and assert that it succeeds and prints this."""

    def prints(stdout, code, *arguments):
        environment = {**os.environ, "PYTHONDEVMODE": request.param}
        check(python(FAMILY + code, *arguments, env=environment), stdout)

    return prints


def test_daemon_threads_that_wait_for_each_primitive_at_exit(prints):
    prints(
        "end\n",
        """
for kind in family.KINDS.values():
    for timeout in None, 1000:
        start(lambda: kind().wait(timeout))
print('end')
""",
    )


def test_timed_waits_of_daemon_threads_run_out_while_the_interpreter_ends(prints):
    prints(
        "end\n",
        """
for kind in family.KINDS.values():
    for timeout in 0.05, 0.0501, 0.06:
        threading.Thread(target=kind().wait, args=[timeout], daemon=True).start()
def again_and_again(object):
    while True:
        object.wait(0.001)
for kind in family.KINDS.values():
    threading.Thread(target=again_and_again, args=[kind()], daemon=True).start()
sys.at_end = AtEnd(lambda sleep=time.sleep: sleep(0.1))
""",
    )


@each_kind
def test_main_thread_wakes_those_that_wait_while_the_interpreter_ends(prints, kind):
    """They never run again. What they were given is lost, and the main thread goes on."""
    prints(
        "end\n",
        """
golock.set_handoff(0)
kind = family.KINDS[sys.argv[1]]
object = kind()
for _ in range(1 if kind is family.Barrier else 3):
    start(object.wait)
if issubclass(kind, family.Condition):
    while waiters(object.object) < 3:
        time.sleep(0.001)
    object.object.acquire()  # so that they have released it, and sleep
    object.object.release()
def at_end(object=object, unblock=kind.unblock, wait=kind.wait):
    for _ in range(3):
        unblock(object)
        assert wait(object, 10)
if kind is family.Barrier:
    def at_end(object=object.object):
        object.wait()
        object.abort()
elif kind is family.RLock:
    def at_end(object=object):
        object.unblock()
        object.object.acquire(timeout=0.001)
sys.at_end = AtEnd(at_end)
""",
        kind,
    )


@each_kind
def test_main_thread_waits_for_a_primitive_while_the_interpreter_ends(prints, kind):
    """Nobody releases it: it times out."""
    prints(
        "waits\nend\n",
        """
object = family.KINDS[sys.argv[1]]()
def at_end(wait=object.wait, write=os.write):
    write(1, b'waits\\n')
    if wait(0.01):
        write(1, b'taken\\n')
sys.at_end = AtEnd(at_end)
""",
        kind,
    )
