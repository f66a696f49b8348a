"""Signals against a blocked acquire, in real processes."""

from __future__ import annotations

import signal

import pytest

from family import KINDS

PRELUDE = """
import signal, sys, threading, time, os
import golock
lock = golock.allocate_lock()
lock.acquire()

def interrupt_when_asleep(number, times=1):
    main = threading.main_thread().native_id
    def work():
        for _ in range(times):
            while open(f'/proc/self/task/{main}/stat').read().rpartition(') ')[2][0] != 'S':
                time.sleep(0.001)
            time.sleep(0.02)
            os.kill(os.getpid(), number)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
"""


def test_handler_that_raises_ends_the_wait(python, check):
    result = python(
        PRELUDE
        + """
def handler(*args):
    raise ZeroDivisionError
signal.signal(signal.SIGALRM, handler)
for acquire in (lock.acquire, lambda: lock.acquire(timeout=100), lock.__enter__):
    try:
        interrupt_when_asleep(signal.SIGALRM)
        acquire()
    except ZeroDivisionError:
        print('raised', lock.locked())
    else:
        print('taken')
lock.release()
print(lock.acquire(False))
"""
    )
    check(result, "raised True\n" * 3 + "True\n")


def test_handler_that_returns_does_not_end_the_wait(python, check):
    result = python(
        PRELUDE
        + """
calls = []
signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
def work():
    interrupt_when_asleep(signal.SIGALRM, 5).join()
    while len(calls) < 5:
        time.sleep(0.001)
    lock.release()
threading.Thread(target=work).start()
print(lock.acquire(), len(calls))
"""
    )
    check(result, "True 5\n")


def test_timeout_holds_under_many_signals(python, check):
    result = python(
        PRELUDE
        + """
calls = []
signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
while len(calls) < 10:
    before = time.monotonic()
    taken = lock.acquire(timeout=0.5)
    waited = time.monotonic() - before
    assert not taken and waited >= 0.5, (taken, waited)
signal.setitimer(signal.ITIMER_REAL, 0)
print("held")
"""
    )
    check(result, "held\n")


def test_waiter_under_many_signals_gets_a_contended_lock(python, check):
    result = python(
        PRELUDE
        + """
lock.release()
calls = []
stop = False
signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
def barge():
    while not stop:
        with lock:
            pass
bargers = [threading.Thread(target=barge) for _ in range(4)]
for barger in bargers:
    barger.start()
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
taken = 0
while len(calls) < 50 or taken < 50:
    with lock:
        taken += 1
signal.setitimer(signal.ITIMER_REAL, 0)
stop = True
for barger in bargers:
    barger.join()
"""
    )
    check(result, "")


def test_control_c(python):
    result = python(
        PRELUDE
        + """
interrupt_when_asleep(signal.SIGINT)
lock.acquire()
"""
    )
    assert result.returncode == -signal.SIGINT
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_control_c_while_contending(python):
    result = python(
        PRELUDE
        + """
lock.release()
def barge():
    while True:
        with lock:
            pass
for _ in range(4):
    threading.Thread(target=barge, daemon=True).start()
def later():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=later, daemon=True).start()
while True:
    with lock:
        pass
"""
    )
    assert result.returncode == -signal.SIGINT
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_handler_may_release_and_acquire_the_lock(python, check):
    result = python(
        PRELUDE
        + """
def handler(*args):
    lock.release()
    print('handler', lock.acquire(), lock.locked())
    lock.release()
signal.signal(signal.SIGALRM, handler)
interrupt_when_asleep(signal.SIGALRM)
print(lock.acquire())
"""
    )
    check(result, "handler True True\nTrue\n")


def test_dispositions_and_masks_are_what_they_were(python, check):
    result = python(
        """
import faulthandler, os, signal, subprocess, sys, threading
import golock
def status(task, *names):
    with open(f'/proc/self/task/{task}/status') as file:
        lines = [line.split() for line in file if line.startswith(names)]
        return {name: int(mask, 16) for name, mask in lines}
def state():
    handlers = [signal.getsignal(n) for n in signal.valid_signals()]
    return status(os.getpid(), 'SigBlk', 'SigIgn', 'SigCgt'), handlers
faulthandler.enable()
threading.Thread(target=int).start()  # glibc installs a handler with the first thread
child = [sys.executable, '-I', '-c', '''
for line in open("/proc/self/status"):
    if line.startswith(("SigBlk", "SigIgn", "SigCgt")):
        print(line)
''']
before, inherited = state(), subprocess.check_output(child)
lock = golock.allocate_lock()
lock.acquire()
lock.acquire(timeout=0.001)
print(golock._golock.core()['loaded'])
print(before == state(), inherited == subprocess.check_output(child))

# The core's threads block signals, so those sent to the process reach the program's.
ours = ['INT', 'TERM', 'ALRM', 'HUP', 'USR1', 'USR2', 'WINCH', 'URG', 'PIPE', 'IO', 'VTALRM']
wanted = sum(1 << getattr(signal, 'SIG' + name) - 1 for name in ours)
tasks = [task for task in os.listdir('/proc/self/task') if int(task) != os.getpid()]
masks = [status(task, 'SigBlk')['SigBlk:'] for task in tasks]
print(len(masks) > 0, all(mask & wanted == wanted for mask in masks))
"""
    )
    check(result, "True\nTrue True\nTrue True\n")


def test_waiting_leaves_the_mask_of_a_thread_alone(python, check):
    """A thread's first call into Go binds it to the runtime, which changes its signal mask."""
    result = python(
        """
import signal, threading
import golock
lock = golock.allocate_lock()
lock.acquire()
wanted = {signal.SIGCHLD, signal.SIGPROF, signal.SIGUSR1}
def work():
    signal.pthread_sigmask(signal.SIG_SETMASK, wanted)
    lock.acquire(timeout=0.001)
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == wanted)
    lock.acquire(timeout=0.001)
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == wanted)
for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
golock.set_handoff(0)
work()
"""
    )
    check(result, "True\n" * 8)


FAMILY = """
import os, signal, sys, threading, time
import golock
import family
from waiting import waiters
object = family.KINDS[sys.argv[1]]()
calls, places = [], []

def waits(frame):
    "Return whether the main thread has not moved since the last two calls: it is in a wait."
    places.append((frame, frame.f_lasti))
    return places[-3:] == places[-1:] * 3

def owned():
    lock = object.object
    return isinstance(object, family.Condition | family.RLock) and lock._is_owned()
"""


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def run(python, kind):
    """Run a program with a primitive of each kind as `object`."""
    return lambda code: python(FAMILY + code, kind)


def test_handler_that_raises_ends_the_wait_for_each(run, check):
    """Repeatedly. A later waiter is still released, and nothing stays acquired."""
    result = run(
        """
def handler(signum, frame):
    if waits(frame):
        raise ZeroDivisionError
signal.signal(signal.SIGALRM, handler)
for timeout in (None, 100) * 10:
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        object.wait(timeout)
    except ZeroDivisionError:
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert not owned()
    else:
        print('returned')
if isinstance(object, family.Condition):
    assert waiters(object.object) == 0
threading.Timer(0.01, object.unblock).start()
print(object.wait(100))
""",
    )
    check(result, "True\n")


def test_handlers_that_return_do_not_end_the_wait_for_each(run, check):
    result = run(
        """
def handler(signum, frame):
    calls.append(1)
    if len(calls) == 50:
        threading.Thread(target=object.unblock).start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
taken = object.wait()
signal.setitimer(signal.ITIMER_REAL, 0)
print(taken, len(calls) >= 50)
before = time.monotonic()
object = type(object)()
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
taken = object.wait(0.1)
signal.setitimer(signal.ITIMER_REAL, 0)
print(taken, time.monotonic() - before >= 0.1)
""",
    )
    check(result, "True True\nFalse True\n")


def test_control_c_while_waiting_for_each(run):
    result = run(
        """
def interrupt(signum, frame):
    if waits(frame):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
object.wait()
""",
    )
    assert result.returncode == -signal.SIGINT
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_handler_releases_what_its_own_thread_waits_for(run, check, kind):
    if kind in ("Barrier", "RLock"):
        pytest.skip("only another thread can release the waiter")
    result = run(
        """
def handler(signum, frame):
    calls.append(1)
    if waits(frame):
        signal.setitimer(signal.ITIMER_REAL, 0)
        object.unblock()
signal.signal(signal.SIGALRM, handler)
for _ in range(5):
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    print(object.wait())
""",
    )
    check(result, "True\n" * 5)
