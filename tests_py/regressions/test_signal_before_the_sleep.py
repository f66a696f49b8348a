"""A signal arrives after the last bytecode before a wait and before the thread sleeps.

Nothing would wake the thread for it, so the wait must look for it. `partial` and `map` are C code,
and the interpreter looks for signals only between bytecodes, so here it arrives at that point.
"""

from __future__ import annotations

PRELUDE = """
import _thread, os, signal, warnings
from functools import partial
import golock
# From 3.12 on, os.fork() warns when the process has threads, the core's included.
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)

lock = golock.allocate_lock()
lock.acquire()
lock.acquire(timeout=0.001)  # loads the core
def acquire_with_a_signal_pending(**arguments):
    steps = [partial(_thread.interrupt_main, signal.SIGUSR1), partial(lock.acquire, **arguments)]
    return list(map(partial.__call__, steps))[1]
"""


def test_handler_runs_before_the_thread_sleeps(python, check):
    result = python(
        PRELUDE
        + """
signal.signal(signal.SIGUSR1, lambda *args: lock.release())
for arguments in {'timeout': 30}, {}:
    print(acquire_with_a_signal_pending(**arguments))
"""
    )
    check(result, "True\nTrue\n")


def test_handler_that_raises_ends_the_wait_before_it_begins(python, check):
    result = python(
        PRELUDE
        + """
def handler(*args):
    raise ZeroDivisionError
signal.signal(signal.SIGUSR1, handler)
for _ in range(1000):
    try:
        print('taken', acquire_with_a_signal_pending())
    except ZeroDivisionError:
        pass
lock.release()
print(lock.acquire(False), lock.acquire(timeout=0.001))
"""
    )
    check(result, "True False\n")


def test_handler_that_forks_before_the_thread_sleeps(python, check):
    """The wait goes on in the child, on the child's own core, or ends there with the exception."""
    result = python(
        PRELUDE
        + """
raising = False
pids = []
def handler(*args):
    pids.append(os.fork())
    if raising:
        raise ZeroDivisionError
    if pids[-1] == 0:
        lock.release()
signal.signal(signal.SIGUSR1, handler)
taken = acquire_with_a_signal_pending(timeout=0.5)
assert taken == (pids[-1] == 0)
if pids[-1] != 0:
    raising = True
    try:
        acquire_with_a_signal_pending()
    except ZeroDivisionError:
        taken = False
    else:
        os._exit(2)
if 0 in pids:
    assert golock._golock.core()['private_copies'] == (not raising)
    lock.acquire(timeout=0.001)
    os._exit(golock._golock.core()['private_copies'] != 1)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""
    )
    check(result, "[0, 0]\n")
