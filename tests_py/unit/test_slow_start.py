"""A Go runtime may take long to start: under emulation, or with a few percent of a processor.

Until then threads wait without the core, say nothing, and look for it again. The preloaded library
holds up the threads of the runtime, or refuses them.
"""

from __future__ import annotations

import os
import sys

import pytest

pytestmark = pytest.mark.slow  # a first wait gives the runtime two seconds

PRELUDE = """
import ctypes, os, signal, sys, threading, warnings
import golock
from waiting import asleep_on, join, start, wait_until
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
library = ctypes.CDLL(None)

def core():
    return golock._golock.core()

def wait_without_core():
    lock = golock.Lock()
    with lock:
        assert not lock.acquire(timeout=0.001)
        waiter = start(lock.acquire)
        wait_until(lambda: asleep_on(lock, waiter), 'it waits')
        assert not core()['loaded']
    join([waiter])
    assert lock.locked()

def wait_until_loaded():
    lock = golock.Lock()
    lock.acquire()
    def loaded():
        assert not lock.acquire(timeout=0.001)
        return core()['loaded']
    wait_until(loaded, 'a wait finds the core')

"""


@pytest.fixture
def slowly(python, check, compiled):
    """Run a program with a slow Go runtime; check that it succeeds and prints nothing else."""
    environment = {**os.environ, "LD_PRELOAD": compiled("slow_start.c")}

    def slowly(program, stdout="end\n"):
        check(python(PRELUDE + program + "\nprint('end')\n", env=environment), stdout)

    return slowly


def test_later_waits_find_the_core(slowly):
    slowly("""
wait_without_core()
print(core()['core_missing'])
library.open_gate()
wait_until_loaded()
""", "its Go runtime is starting\nend\n")  # fmt: skip


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="without a GIL the waiter gets it"
)
def test_a_wait_that_began_without_the_core_goes_on_with_it(slowly):
    """Nobody else waits. The waiter is woken again and again, and finds the lock taken."""
    slowly("""
sys.setswitchinterval(1000)
lock = golock.Lock()
lock.acquire()
waiter = start(lock.acquire)
wait_until(lambda: asleep_on(lock, waiter), 'it waits')
assert not core()['loaded']
library.open_gate()
def loaded():
    if not core()['loaded']:
        lock.release()
        assert lock.acquire(False)
    return core()['loaded']
wait_until(loaded, 'the waiter finds the core')
lock.release()
join([waiter])
""")


def test_a_child_finds_its_core(slowly):
    """The parent forks while its core is starting."""
    slowly("""
wait_without_core()
pid = os.fork()
if pid == 0:
    wait_without_core()
    library.open_gate()
    wait_until_loaded()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert not core()['loaded']
library.open_gate()
wait_until_loaded()
""")


def test_what_needs_the_core_waits_for_it(slowly):
    """And runs signal handlers meanwhile."""
    slowly("""
class Raised(Exception):
    pass
def raising(signum, frame):
    raise Raised
signal.signal(signal.SIGALRM, raising)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    golock.core_address()
except Raised:
    print('raised')
signal.signal(signal.SIGALRM, lambda *_: library.open_gate())
signal.setitimer(signal.ITIMER_REAL, 0.01)
assert golock.core_address() > 0
""", "raised\nend\n")  # fmt: skip


def test_a_runtime_that_lacks_threads_is_told(slowly):
    slowly("""
warnings.simplefilter('error', RuntimeWarning)
sys.unraisablehook = lambda unraisable: print(unraisable.exc_value)
refused = ctypes.c_int.in_dll(library, 'refused')
refused.value = 1
library.open_gate()
wait_without_core()
try:
    golock.core_address()
except golock.CoreError as error:
    print(error)
refused.value = 0
wait_until_loaded()
""", """\
golock waits without its lock core, in no order, because the core cannot be loaded: \
its Go runtime has not started: it lacks threads
the lock core cannot be loaded: its Go runtime has not started: it lacks threads
end
""")  # fmt: skip
