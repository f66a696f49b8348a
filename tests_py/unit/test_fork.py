"""Locks and the core across fork, which a Go runtime does not survive."""

from __future__ import annotations

import os
import sys

import pytest

from family import KINDS

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
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_child_that_contends(python, check):
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
    check(result, "[0, 0, 0, 0, 0]\n")


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


def test_children_forked_out_of_live_contention(python, check):
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
    check(result, "{0}\n")


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without a GIL the waiter claims the reservation at once",
)
def test_lock_reserved_for_a_waiter_of_the_parent_is_free_in_the_child(python):
    """The waiter does not exist in the child, so nobody there will ever claim the reservation."""
    result = python(
        PRELUDE
        + """
from waiting import asleep_on, wait_until
sys.setswitchinterval(1000)  # a woken waiter does not get the GIL, so the reservation stays
golock.set_handoff(0)
lock = golock.allocate_lock()
lock.acquire()
waiter = threading.Thread(target=lock.acquire)
waiter.start()
wait_until(lambda: asleep_on(lock, waiter), 'the waiter sleeps')
def child():
    say(lock.locked(), lock.acquire(False), lock.locked())
    lock.release()
    say(lock.acquire(), lock.acquire(timeout=0.001))
    lock.release()
    contend()
lock.release()
before = lock.acquire(False), lock.locked()
pid = in_child(child)  # nothing up to here releases the GIL
say(*before)
waiter.join()
say(wait(pid), lock.locked())
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == [
        "0 True", "False True", "False True True", "True False"
    ]  # fmt: skip


def test_child_without_room_for_a_copy_of_the_core(python, check):
    """Neither a memory file nor a temporary file can be opened: it waits without a core."""
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
    warnings.simplefilter('ignore', RuntimeWarning)
    print(lock.acquire(timeout=0.001), golock._golock.core()['loaded'])
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    print(lock.acquire(timeout=0.001))
print(wait(in_child(child)))
"""
    )
    check(result, "False False\nFalse\n0\n")


@pytest.mark.skipif(
    os.environ.get("GOLOCK_FASTPATH") == "0", reason="every operation needs the core"
)
def test_child_needs_no_core_for_waiters_of_the_parent(python, check):
    """The waiters that the copied word announces do not exist in the child."""
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
    check(result, "True False\nFalse False\n0\n")


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


FAST = os.environ.get("GOLOCK_FASTPATH") != "0"
FAMILY = (
    PRELUDE
    + """
import family
kind = family.KINDS[sys.argv[1]]
waiters = 1 if kind is family.Barrier else 3

def loaded():
    return golock._golock.core()['loaded']

def asleep(thread):
    with open(f'/proc/self/task/{thread.native_id}/stat') as file:
        return file.read().rpartition(') ')[2][0] == 'S'

def start(work, number=1):
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
        while not asleep(thread):
            time.sleep(0.0005)
    return threads

def contend_for(object):
    assert object.wait(0.0005) is False
    served = []
    def wait():
        for _ in range(10):
            served.append(object.wait())
    [waiter] = start(wait)
    for number in range(10):
        object.unblock()
        while len(served) == number:
            time.sleep(0)
    waiter.join()
    assert served == [True] * 10
    # The others need no core, and a child forked by a thread loads none.
    if isinstance(object, (family.Lock, family.RLock, family.Semaphore)):
        assert loaded() or golock._golock.core()['core_missing']
"""
)


@pytest.fixture(params=KINDS)
def run(request, python):
    """Run a program for each kind of primitive; assert that it succeeds, and return its output."""

    def run(code):
        result = python(FAMILY + code, request.param)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return result.stdout

    return run


def test_child_uses_what_threads_of_the_parent_wait_for(run):
    """First without a core, since there is nobody to wake, then with its own."""
    stdout = run(
        """
object = kind()
def child():
    object.restore()
    for _ in range(3):
        object.use()
    assert not loaded() or os.environ.get('GOLOCK_FASTPATH') == '0'
    object.hold()
    contend_for(object)
    for other in family.KINDS.values():
        contend_for(other())
threads = start(object.wait, waiters)
def fork():
    say(wait(in_child(child)))
fork()
forker = threading.Thread(target=fork)
forker.start()
forker.join()
for left in range(len(threads), 0, -1):
    object.unblock()
    while sum(thread.is_alive() for thread in threads) >= left:
        time.sleep(0.001)
""",
    )
    assert stdout == "0\n0\n"


def test_four_generations_use_what_their_parents_wait_for(run):
    stdout = run(
        """
objects = [kind() for _ in range(5)]
def descend(generation):
    if generation > 0:
        for object in objects:
            object.restore()
            object.use()
            object.hold()
        contend_for(objects[generation])
    if generation < 4:
        for object in objects[generation + 1:]:
            start(object.wait, waiters)
        say(wait(in_child(lambda: descend(generation + 1))))
descend(0)
""",
    )
    assert stdout == "0\n" * 4


def test_handler_that_forks_while_its_thread_waits_for_each(run):
    """The wait goes on in the child, on its own core, and times out or is released there."""
    stdout = run(
        """
object = kind()
pids, places = [], []
def handler(signum, frame):
    places.append((frame, frame.f_lasti))
    if places[-3:] != places[-1:] * 3:
        return  # the main thread does not wait yet
    signal.setitimer(signal.ITIMER_REAL, 0)
    pids.append(os.fork())
    if pids[-1] == 0 and kind is family.RLock:  # its holder does not exist here
        object.restore()
        object.hold()
    if unblock:
        threading.Thread(target=object.unblock).start()
signal.signal(signal.SIGALRM, handler)
for unblock in False, True:
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    say(object.wait(60 if unblock else 0.5))
    if pids[-1] == 0:
        if not unblock:
            contend_for(object)
        os._exit(0)
say(*map(wait, pids))
""",
    )
    assert sorted(stdout.splitlines()) == ["0 0", "False", "False", "True", "True"]


@pytest.mark.skipif(not FAST, reason="every operation needs the core")
def test_child_sees_no_waiters_of_the_parent(python):
    result = python(
        PRELUDE
        + """
from waiting import waiters
condition, event, barrier = golock.Condition(), golock.Event(), golock.Barrier(3)
semaphore, bounded = golock.Semaphore(0), golock.BoundedSemaphore(2)
bounded.acquire(), bounded.acquire()
def listen():
    with condition:
        condition.wait()
works = [listen, event.wait, barrier.wait, semaphore.acquire, bounded.acquire]
for work in works * 2:
    threading.Thread(target=work, daemon=True).start()
def all_wait():
    tasks = [thread.native_id for thread in threading.enumerate()[1:]]
    return waiters(condition) == barrier.n_waiting == 2 and all(
        open(f'/proc/self/task/{task}/stat').read().rpartition(') ')[2][0] == 'S' for task in tasks)
while not all_wait():
    time.sleep(0.001)
def child():
    say(waiters(condition), barrier.n_waiting, event.is_set())
    with condition:
        condition.notify()
        say(waiters(condition))
        condition.notify_all()
    event.set(), event.clear(), event.set()
    say(event.is_set(), event.wait())
    semaphore.release()
    bounded.release()
    say(semaphore.acquire(), semaphore.acquire(False), semaphore._value, bounded._value)
    bounded.release()
    try:
        bounded.release()
    except ValueError:
        say('ValueError')
    barrier.reset()
    say(barrier.n_waiting, barrier.broken, golock._golock.core()['loaded'])
say(wait(in_child(child)))
""",
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "0 0 False", "0", "True True", "True False 0 1", "ValueError", "0 False False", "0"
    ]  # fmt: skip
