"""Without a core, locks and semaphores wait by the word alone. No wake-up is lost, and such waiters
can share a word with waiters that use a core.

GOLOCK_CORE=0 keeps a process from loading a core.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

import golock

WITHOUT = {**os.environ, "GOLOCK_CORE": "0"}

PRELUDE = """
import ctypes, os, signal, sys, threading, time, types, warnings
import golock
from golock import _golock
from waiting import asleep_for_ever, asleep_on, join, start, wait_until
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)

class Raised(Exception):
    pass
"""

MAKE = {
    "Lock": "golock.Lock()",
    "RLock": "golock.RLock()",
    "Semaphore": "golock.Semaphore()",
    "BoundedSemaphore": "golock.BoundedSemaphore(1)",
}
kinds = pytest.mark.parametrize("kind", MAKE)
not_owned = pytest.mark.parametrize("kind", [kind for kind in MAKE if kind != "RLock"])


@pytest.fixture(params=["1", "0"], ids=["fast paths", "no fast paths"])
def alone(request, python, check):
    """Run a program without a core; check that it succeeds and has loaded none."""

    def alone(program, *arguments):
        environment = {**WITHOUT, "GOLOCK_FASTPATH": request.param}
        ending = "\nassert not golock._golock.core()['loaded']\nprint('end')\n"
        check(python(PRELUDE + program + ending, *arguments, env=environment), "end\n")

    return alone


@kinds
def test_every_acquire_is_exclusive(alone, kind):
    alone(f"""
lock, number, rounds = {MAKE[kind]}, 0, 5_000
def add():
    global number
    for i in range(rounds):
        with lock:
            seen = number
            if i % 100 == 0:
                time.sleep(0)
            number = seen + 1
join([start(add) for _ in range(8)])
assert number == 8 * rounds, number
""")


@kinds
def test_a_time_out_takes_nothing(alone, kind):
    alone(f"""
lock = {MAKE[kind]}
lock.acquire()
def give_up():
    for _ in range(20):
        assert not lock.acquire(timeout=0.001)
        assert not lock.acquire(False)
threads = [start(give_up) for _ in range(4)]
join(threads)
waiter = start(lambda: (lock.acquire(), lock.release()))
wait_until(lambda: asleep_for_ever(waiter), 'it waits')
lock.release()
join([waiter])
assert lock.acquire(False)
""")


@kinds
def test_a_handler_that_raises_ends_the_wait(alone, kind):
    alone(f"""
lock = {MAKE[kind]}
free, held = golock.Event(), golock.Event()
def hold():
    with lock:
        held.set()
        free.wait()
holder = start(hold)
held.wait()
waits = False
def handler(signum, frame):
    global waits
    if waits:
        waits = False
        raise Raised
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)  # one may come just before the sleep
for _ in range(20):
    try:
        waits = True
        lock.acquire()
    except Raised:
        pass
    else:
        raise AssertionError
signal.setitimer(signal.ITIMER_REAL, 0)
free.set()
join([holder])
with lock:
    pass
""")


@not_owned
def test_another_thread_releases(alone, kind):
    alone(f"""
lock, passed = {MAKE[kind]}, []
lock.acquire()
def wait():
    lock.acquire()
    passed.append(1)
threads = [start(wait) for _ in range(8)]
def all_wait():
    return all(asleep_on(lock, thread) for thread in threads if thread.is_alive())
for number in range(8):
    wait_until(all_wait, 'they wait')
    assert len(passed) == number
    lock.release()
    wait_until(lambda: len(passed) == number + 1, 'one goes on')
join(threads)
""")


def test_as_many_go_on_as_permits(alone):
    alone("""
semaphore, passed = golock.Semaphore(0), []
def wait():
    semaphore.acquire()
    passed.append(1)
for n in 1, 2, 3, 8:
    threads = [start(wait) for _ in range(8)]
    for thread in threads:
        wait_until(lambda: asleep_on(semaphore, thread), 'it waits')
    passed.clear()
    for sent in range(n, 9, n):
        semaphore.release(n)
        wait_until(lambda: len(passed) == sent, 'so many go on')
    semaphore.release(8 - len(passed) or 1)
    join(threads)
    while semaphore.acquire(False):
        pass
""")


def test_permits_are_counted_exactly(alone):
    alone("""
semaphore, rounds = golock.Semaphore(3), 2_000
def work(turn):
    for i in range(rounds):
        if i % 5 == turn % 5:
            taken = sum([semaphore.acquire(timeout=1e-5) for _ in range(2)])
        else:
            taken = semaphore.acquire()
        if i % 50 == 0:
            time.sleep(0)
        if taken:
            semaphore.release(int(taken))
join([start(work, turn) for turn in range(8)])
assert semaphore._value == 3, semaphore._value
""")


@kinds
def test_children_go_on_with_what_they_copied(alone, kind):
    """The words announce waiters and claimants that exist only in the parent."""
    alone(f"""
lock, stop = {MAKE[kind]}, False
def work():
    while not stop:
        with lock:
            pass
threads = [start(work) for _ in range(4)]
for _ in range(20):
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        waiters = [start(lambda: [lock.acquire(), lock.release()]) for _ in range(2)]
        for waiter in waiters:
            wait_until(lambda: asleep_for_ever(waiter), 'it waits')
        lock.release()
        join(waiters)
        os._exit(0 if lock.acquire(False) else 1)
    lock.release()
    assert os.waitpid(pid, 0)[1] == 0
stop = True
join(threads)
""")


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_handler_forks_below_the_wait(alone, kind):
    """The child knows no waiter; another thread wakes it all the same."""
    alone(f"""
lock, pids = {MAKE[kind]}, []
lock.acquire()
def handler(signum, frame):
    pids.append(os.fork())
    here = types.SimpleNamespace(native_id=threading.get_native_id())
    def free():
        wait_until(lambda: asleep_on(lock, here), 'the main thread waits')
        lock.release()
    threading.Thread(target=free, daemon=True).start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02)
assert lock.acquire(timeout=60)
if pids[0] == 0:
    os._exit(0)
assert os.waitpid(pids[0], 0)[1] == 0
""")


def test_errors_are_those_of_the_interpreter(alone):
    alone("""
def message(function, *arguments):
    try:
        function(*arguments)
    except (RuntimeError, ValueError) as error:
        return type(error), str(error)
assert message(golock.Lock().release) == (RuntimeError, 'release unlocked lock')
too_many = 'Semaphore released too many times'
assert message(golock.BoundedSemaphore(2).release) == (ValueError, too_many)
""")


@pytest.fixture(scope="module")
def c_library(tmp_path_factory):
    output = tmp_path_factory.mktemp("beside") / "share_with_c.so"
    source = Path(__file__).parents[1] / "go" / "share_with_c.c"
    compiler = str(sysconfig.get_config_var("CC")).split()[0]
    flags = ["-std=gnu11", "-O1", "-shared", "-fPIC", f"-I{golock.get_include()}"]
    subprocess.run([compiler, *flags, "-o", str(output), str(source)], check=True)
    return str(output)


def test_beside_threads_that_use_a_core(python, check, c_library):
    """Python's threads wait without a core, and the C program's threads use one."""
    program = (
        PRELUDE
        + """
library = ctypes.CDLL(sys.argv[1])
library.count.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int]
library.count.restype = None
lock, rounds = golock.Lock(), 5_000
number = ctypes.c_long(0)
with golock.shared(lock) as address:
    core = golock.core_address()
    def by_a_core():
        library.count(core, address, ctypes.addressof(number), rounds)
    def without():
        for i in range(rounds):
            if i % 16 == 0 and not lock.acquire(timeout=1e-5):
                lock.acquire()
            elif i % 16:
                lock.acquire()
            number.value += 1
            if i % 100 == 0:
                time.sleep(0)
            lock.release()
    join([start(work) for work in (by_a_core, without) * 4])
assert number.value == 8 * rounds, number.value
assert lock.acquire(False)
print('end')
"""
    )
    environment = {**WITHOUT, "TESTS": str(Path(__file__).parents[1])}
    check(python(program, c_library, env=environment), "end\n")


def test_a_release_loads_no_core(python, check):
    """In a child the word announces waiters; waking them would need a new core."""
    check(
        python(
            """
import os, sys, threading, warnings
import golock
from waiting import asleep_on, start, wait_until
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
for lock in golock.Lock(), golock.Semaphore(), golock.BoundedSemaphore():
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: asleep_on(lock, thread), 'it waits')
    assert golock._golock.core()['loaded']
    pid = os.fork()
    if pid == 0:
        assert not lock.acquire(False)
        lock.release()
        assert lock.acquire(False)
        lock.release()
        assert not golock._golock.core()['loaded']
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    lock.release()
    thread.join()
""",
            env={**os.environ, "GOLOCK_CORE": "1", "TESTS": str(Path(__file__).parents[1])},
        ),
        "",
    )
