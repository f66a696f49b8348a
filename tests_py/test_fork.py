"""Locks and the core across fork. A Go runtime does not survive it; golock does."""

from __future__ import annotations

import os
import sys

import pytest

PRELUDE = """
import os, sys, threading, time, signal, warnings
import golock
signal.alarm(100)
# From 3.12 on, os.fork() warns when the process has threads, the core's included.
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)

def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\\n').encode())

def contend(threads=4, rounds=200):
    lock, counts = golock.allocate_lock(), []
    def work():
        for _ in range(rounds):
            with lock:
                counts.append(1)
                if len(counts) % 10 == 0:
                    time.sleep(0)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    lock.acquire()
    for worker in workers:
        worker.start()
    time.sleep(0.002)
    lock.release()
    for worker in workers:
        worker.join()
    assert len(counts) == threads * rounds

def in_child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_child_that_contends_anew(python):
    result = python(
        PRELUDE
        + """
contend()
def child():
    assert not golock._golock.core()['loaded']
    contend()
    assert golock._golock.core()['private_copies'] == 1
print([wait(in_child(child)) for _ in range(5)])
contend()
"""
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "[0, 0, 0, 0, 0]\n")


def test_four_generations(python):
    result = python(
        PRELUDE
        + """
def descend(depth):
    contend()
    if depth < 4:
        assert wait(in_child(lambda: descend(depth + 1))) == 0
        contend()
    print(depth, golock._golock.core()['private_copies'])
    sys.stdout.flush()
descend(0)
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == [f"{depth} {depth}" for depth in range(5)]


def test_children_forked_out_of_live_contention(python):
    result = python(
        PRELUDE
        + """
lock = golock.allocate_lock()
stop = False
def fight():
    while not stop:
        with lock:
            pass
fighters = [threading.Thread(target=fight) for _ in range(4)]
for fighter in fighters:
    fighter.start()
children = []
for _ in range(50):
    lock.acquire()
    children.append(in_child(lambda: (lock.release(), contend(2, 20), lock.acquire())))
    lock.release()
    children.append(in_child(lambda: (lock._at_fork_reinit(), contend(2, 20), lock.acquire())))
stop = True
for fighter in fighters:
    fighter.join()
print({wait(child) for child in children})
"""
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "{0}\n")


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without a GIL the waiter claims the reservation at once",
)
def test_lock_reserved_for_a_waiter_of_the_parent_is_free_in_the_child(python):
    """The waiter does not exist in the child, where nobody will ever claim the reservation."""
    result = python(
        PRELUDE
        + """
sys.setswitchinterval(1000)  # a woken waiter does not get the GIL, so the reservation stays
golock.set_handoff(0)
lock = golock.allocate_lock()
lock.acquire()
waiter = threading.Thread(target=lock.acquire)
waiter.start()
while open(f'/proc/self/task/{waiter.native_id}/stat').read().rpartition(') ')[2][0] != 'S':
    time.sleep(0.001)
time.sleep(0.01)
def child():
    say(lock.locked(), lock.acquire(False), lock.locked())
    lock.release()
    say(lock.acquire(), lock.acquire(timeout=0.001))
    lock.release()
    contend()
lock.release()
before = lock.acquire(False), lock.locked()
pid = in_child(child)  # nothing up to here gives the GIL away
say(*before)
waiter.join()
say(wait(pid), lock.locked())
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == [
        "0 True", "False True", "False True True", "True False"
    ]  # fmt: skip


def test_child_without_room_for_a_copy_of_the_core(python):
    """No file can be opened: neither a memory file nor a temporary one."""
    result = python(
        PRELUDE
        + """
import resource
contend()
lock = golock.allocate_lock()
lock.acquire()
def child():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
    try:
        lock.acquire(timeout=1)
    except golock.CoreError as error:
        print(lock.locked(), 'the lock core cannot be loaded: ' in str(error))
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    print(lock.acquire(timeout=0.001))
print(wait(in_child(child)))
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "True True\nFalse\n0\n"


@pytest.mark.skipif(
    os.environ.get("GOLOCK_FASTPATH") == "0", reason="every operation needs the core"
)
def test_child_needs_no_core_for_waiters_of_the_parent(python):
    """Whoever the copied word speaks of does not exist in the child, so nobody is to be woken."""
    result = python(
        PRELUDE
        + """
locks = [golock.allocate_lock() for _ in range(3)]
for lock in locks:
    lock.acquire()
waiters = [threading.Thread(target=lock.acquire, daemon=True) for lock in locks * 2]
for waiter in waiters:
    waiter.start()
time.sleep(0.05)
def child():
    first, second, third = locks
    first.release()
    say(first.acquire(), second.acquire(False))
    for _ in range(100):
        second.release()
        second.acquire()
    third.release()
    with third:
        pass
    say(third.locked(), golock._golock.core()['loaded'])
say(wait(in_child(child)))
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "True False\nFalse False\n0\n"


def test_handler_that_forks_while_its_thread_waits(python):
    """The wait goes on in the child, on the child's own core."""
    result = python(
        PRELUDE
        + """
lock = golock.allocate_lock()
lock.acquire()
pids = []
def handler(*args):
    pids.append(os.fork())
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
os.write(1, b'%d %d\\n' % (lock.acquire(timeout=0.3), pids[0] == 0))
if pids[0] == 0:
    contend()
    os._exit(0)
print(wait(pids[0]))
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == ["0", "0 0", "0 1"]
