"""Interpreters that end with locks alive and threads that wait for them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

import golock

HERE = Path(__file__).resolve().parent

PRELUDE = """
import sys, threading, time
import _testcapi
import golock

def live(code):
    "Run the code in a new interpreter that shares the GIL, and end it."
    assert _testcapi.run_in_subinterp(code) == 0

def live_on_its_own(code):
    "Run the code in a new interpreter with its own GIL, and end it."
    interpreter = interpreters.create()
    failure = interpreters.run_string(interpreter, code)
    assert failure is None, failure
    interpreters.destroy(interpreter)

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as interpreters
else:
    live_on_its_own = live
"""

# Runs in the interpreters. An interpreter that ends waits for its non-daemon threads. Some of them
# are asleep then, and one releases them after a timed wait.
FIGHT = """
import sys, threading
import family, golock

def in_threads(work, number):
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads

lock, count = golock.allocate_lock(), 0
def fight():
    global count
    for _ in range(200):
        with lock:
            count += 1
            held = count % 10 == 0 and locks[count % len(locks)].acquire(timeout=1e-6)
            assert not held
locks = [golock.allocate_lock() for _ in range(20)]
for each in locks:
    each.acquire()
for thread in in_threads(fight, 4):
    thread.join()
assert count == 800

gate, closed, passed = golock.allocate_lock(), golock.allocate_lock(), []
gate.acquire()
closed.acquire()
def wait():
    with gate:
        passed.append(1)
def wait_with_limit():
    while not gate.acquire(timeout=0.0005):
        pass
    gate.release()
def open_gate():
    closed.acquire(timeout=0.002)
    gate.release()
in_threads(wait, 2)
in_threads(wait_with_limit, 2)
in_threads(open_gate, 1)

# The other primitives: a thread waits at each while the interpreter ends, and is released then.
rlock = golock.RLock()
def nest():
    with rlock, rlock:
        assert not locks[0].acquire(timeout=1e-4)
in_threads(nest, 3)
for kind in set(family.KINDS.values()) - {family.RLock}:  # its keeper is a daemon thread
    object = kind()
    assert object.wait(1e-6) is False
    in_threads(object.wait, 1)
    in_threads(object.unblock, 1)

class AtEnd:
    def __del__(self, lock=lock, passed=passed):
        for _ in range(3):
            lock.acquire()
            lock.acquire(timeout=1e-6)
            lock.release()
        if len(passed) != 2:
            lock.release()  # raises, which is written to stderr
sys.at_end = AtEnd()
sys.held = locks
"""

# Daemon threads that wait, which an atexit function releases: only the main interpreter can end
# while it has threads (Fatal Python error: Py_EndInterpreter: not the last thread).
DAEMONS = """
import atexit, threading
import golock
golock.set_handoff(0)
gate = golock.allocate_lock()
gate.acquire()
def wait():
    for _ in range(5):
        with gate:
            pass
def wait_with_limit():
    while not gate.acquire(timeout=0.0005):
        pass
    gate.release()
threads = [threading.Thread(target=work, daemon=True) for work in [wait, wait_with_limit] * 2]
for thread in threads:
    thread.start()
def unblock():
    for _ in range(20):
        gate.release()  # reserves it for a waiter
        gate.acquire()
    gate.release()
    for thread in threads:
        thread.join()
atexit.register(unblock)
"""


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="there is no module _testcapi"
)


def test_interpreters_in_several_threads_at_once(python, stress, check):
    """From 3.12 on each has its own GIL."""
    each, threads = stress.size(8, 150), 4
    result = python(
        PRELUDE
        + """
each, number, code = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ended = []
def work():
    for _ in range(each):
        live_on_its_own(code)
        ended.append(1)
threads = [threading.Thread(target=work) for _ in range(number)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(ended))
""",
        str(each),
        str(threads),
        FIGHT,
    )
    check(result, f"{each * threads}\n")
    stress.count("interpreters ended with locks alive", each * threads)


def test_interpreters_that_share_the_gil(python, stress, check):
    rounds = stress.size(10, 150)
    result = python(
        PRELUDE
        + """
for _ in range(int(sys.argv[3])):
    live(sys.argv[1])
    live(sys.argv[2])
print('end')
""",
        FIGHT,
        DAEMONS,
        str(rounds),
    )
    check(result, "end\n")
    stress.count("interpreters ended with locks alive", 2 * rounds)


SCRIPT = """
import os, sys, threading, time
import family, golock

def start(work, number, name='lasting', **options):
    begun = threading.Semaphore(0)
    def run():
        with open(f'/proc/self/task/{threading.get_native_id()}/comm', 'w') as comm:
            comm.write(name)
        begun.release()
        work()
    threads = [threading.Thread(target=run, **options) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        begun.acquire()
    return threads

round = int(sys.argv[1])
golock.set_handoff(0 if round % 2 else 0.001)
held, contended, counted = (golock.allocate_lock() for _ in range(3))
held.acquire()
start(held.acquire, 2, daemon=True)
start(lambda: held.acquire(timeout=10**6), 2, daemon=True)
def wait_again_and_again():
    while True:
        held.acquire(timeout=0.0005)
start(wait_again_and_again, 2, 'brief', daemon=True)
def contend():
    while True:
        if contended.acquire(timeout=0.001):
            contended.release()
start(contend, 4, 'brief', daemon=True)

# The other primitives: waited at for ever, repeatedly, or until unblocked at the end.
for kind in family.KINDS.values():
    object = kind()
    start(object.wait, 1, daemon=True)
    if kind is not family.RLock and kind is not family.Barrier:
        start(lambda object=kind(): [object.wait(10**6)], 1, daemon=True)
    if not issubclass(kind, family.Condition | family.RLock):  # these would end with the lock held
        def again_and_again(object=kind()):
            while True:
                object.wait(0.0005)
        start(again_and_again, 1, 'brief', daemon=True)
    if round % 2 and kind is not family.RLock:
        object.unblock()

# The interpreter waits for these threads when it ends.
counted.acquire()
def count():
    with counted:
        pass
start(count, 3)
start(counted.release, 1)

class AtEnd:
    def __init__(self):
        self.lock = golock.allocate_lock()
        self.lock.acquire()
        [last] = start(self.lock.acquire, 1, daemon=True)
        while open(f'/proc/self/task/{last.native_id}/stat').read().rpartition(') ')[2][0] != 'S':
            time.sleep(0.0001)
    def __del__(self):
        # Daemon threads no longer run: nobody takes what is reserved for them.
        for _ in range(3):
            self.lock.release()
            self.lock.acquire()
            self.lock.acquire(timeout=1e-6)
sys.at_end = AtEnd()
time.sleep(round % 5 / 1000)
"""


def embed(source: Path, folder: Path) -> Path:
    """Build a program that embeds the running interpreter, or skip the test."""
    config = sysconfig.get_config_var
    name = f"python{config('LDVERSION')}"
    folders = [config("LIBDIR"), config("LIBPL")]
    if not any(Path(lib, f"lib{name}{end}").exists() for lib in folders for end in (".so", ".a")):
        pytest.skip(f"there is no lib{name} to link with")
    program = folder / source.stem
    command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program)]
    command += [f"-I{sysconfig.get_path('include')}"]
    for lib in folders:
        command += [f"-L{lib}", f"-Wl,-rpath,{lib}"]
    command += [f"-l{name}", *config("LINKFORSHARED").split()]
    command += [*config("LIBS").split(), *config("SYSLIBS").split()]
    subprocess.run(command, check=True)
    return program


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys.version_info < (3, 14),
    reason="a daemon thread that wakes while a free-threaded 3.13 ends uses a freed thread "
    "state, on _thread's locks too (CPython's issue 124878)",
)
def test_finalize_with_waiters_and_initialize_again(tmp_path, stress, check):
    program = embed(HERE / "finalize.c", tmp_path)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    rounds = stress.size(25, 300)
    result = subprocess.run(
        # From 3.14 on, a virtual environment is found only in the first round.
        [program, Path(sys.executable).resolve(), str(rounds), script],
        env={**os.environ, "PYTHONPATH": f"{Path(golock.__file__).parents[1]}:{HERE.parent}"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    check(result, f"{rounds}\n")
    stress.count("Py_FinalizeEx with waiters", rounds)
