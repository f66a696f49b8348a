"""Thousands of processes forked while threads fight for locks.

Without the fast path every child that touches a lock loads its own core, not only those that
contend, so there are fewer of them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FAST = os.environ.get("GOLOCK_FASTPATH") != "0"
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

PRELUDE = """
import faulthandler, itertools, os, select, signal, sys, threading, time, warnings
import golock
# From 3.12 on, os.fork() warns when the process has threads, the core's included.
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
faulthandler.enable()
os.setpgid(0, 0)
golock.set_handoff(0.0001)  # or the forking thread would mostly wait
sys.setswitchinterval(0.0001)

def contend(threads=3, rounds=20):
    '''Let threads fight for one lock, each of which sleeps on it at least once.'''
    lock, total = golock.allocate_lock(), 0
    def work():
        nonlocal total
        for turn in range(rounds):
            with lock:
                seen = total
                if turn % 10 == 0:
                    time.sleep(0)
                total = seen + 1
    lock.acquire()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    assert not lock.acquire(timeout=0.0001)
    lock.release()
    for worker in workers:
        worker.join()
    assert total == threads * rounds, total
    assert golock._golock.core()['loaded']

patience = 100  # seconds until a child counts as hanging; less in its children, to find them first

def fork(name, work):
    pid = os.fork()
    if pid:
        return name, pid, os.pidfd_open(pid)
    global patience
    status = 1
    try:
        patience -= 20
        work()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)

def reap(child):
    '''Wait for a child. If it hangs, make it print its tracebacks, and end everything.'''
    name, pid, descriptor = child
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    hangs = not poll.poll(patience * 1000)
    if hangs:
        os.write(2, b'%s hangs:\\n' % name.encode())
        os.kill(pid, signal.SIGABRT)
    os.close(descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        os.write(2, b'%s ended with %d\\n' % (name.encode(), status))
        os.killpg(0, signal.SIGKILL)  # other children may hang too, and keep the test's pipes open

class Fight:
    '''Threads that fight for locks until the with statement ends.'''
    def __init__(self, *locks):
        threads = 4 if getattr(sys, '_is_gil_enabled', lambda: True)() else 2
        self.locks, self.stop = locks, False
        self.threads = [threading.Thread(target=self.fight, args=(k,)) for k in range(threads)]
    def fight(self, k):
        for lock in itertools.islice(itertools.cycle(self.locks), k, None):
            if self.stop:
                return
            with lock:
                for _ in range(50):
                    pass
    def __enter__(self):
        for thread in self.threads:
            thread.start()
    def __exit__(self, *exception):
        self.stop = True
        for thread in self.threads:
            thread.join()

def descriptors():
    return len(os.listdir('/proc/self/fd'))

def kilobytes():
    '''Return the resident and the mapped size.'''
    with open('/proc/self/status') as status:
        sizes = dict(line.split(':') for line in status)
    return [int(sizes[name].split()[0]) for name in ('VmRSS', 'VmSize')]
"""


@pytest.fixture
def run(numbers):
    """Run a program after the prelude, and return the integers that it prints."""
    return lambda program, *arguments: numbers(PRELUDE + program, *arguments, timeout=280)


def test_children_forked_out_of_a_fight(run, stress):
    """Four threads fight for locks at each fork, one of which is acquired by hooks around the fork.
    The forking thread holds another lock, and a thread of the parent holds one throughout."""
    children = stress.size(1_600, 16_000) if FAST else stress.size(1_000, 10_000)
    contending = 3  # one child in three
    forked, contended, rss, size = run(
        """
mine, theirs = golock.allocate_lock(), golock.allocate_lock()
fought, gate = golock.allocate_lock(), golock.allocate_lock()
children, contending = map(int, sys.argv[1:])
os.register_at_fork(before=gate.acquire, after_in_parent=gate.release, after_in_child=gate.release)

held, done = threading.Event(), threading.Event()
def keep():
    with theirs:
        held.set()
        done.wait()
keeper = threading.Thread(target=keep)
keeper.start()
held.wait()

def use(lock):
    assert lock.acquire()
    assert lock.locked() and not lock.acquire(False)
    lock.release()
    assert not lock.locked()
    with lock:
        pass

def child(number):
    assert not gate.locked()
    use(gate)
    # The locks are as they were at the fork, even if their holders do not exist here.
    assert mine.locked() and not mine.acquire(False)
    assert theirs.locked() and not theirs.acquire(False)
    if number % 2:
        mine.release()
        theirs.release()
    else:
        mine._at_fork_reinit()
        theirs._at_fork_reinit()
    if fought.locked():
        fought._at_fork_reinit() if number % 4 < 2 else fought.release()
    contends = number % contending == 0
    if contends:
        theirs.acquire()
        assert not theirs.acquire(timeout=0.0005)
        theirs.release()
    for lock in mine, theirs, fought:
        use(lock)
    if contends:
        contend()

running, forked, contended = [], 0, 0
with Fight(fought, gate):
    for number in range(children + children // 5):
        if number == children // 5:  # warm
            before = descriptors() - len(running), *kilobytes()
        with mine:
            running.append(fork(f'child {number}', lambda: child(number)))
        forked += 1
        contended += number % contending == 0
        if len(running) == 4:
            reap(running.pop(0))
    while running:
        reap(running.pop(0))
    after = descriptors(), *kilobytes()
    assert after[0] == before[0], (before, after)
done.set()
keeper.join()
for lock in mine, theirs, fought, gate:
    use(lock)
contend()
print(forked, contended, after[1] - before[1], after[2] - before[2])
""",
        children,
        contending,
    )
    assert rss < 4096  # kilobytes, less than a page for each child
    assert size < 160 << 10  # a thread that the Go runtime starts late maps 72 MB
    stress.count("children forked", forked)
    stress.count("children that contended", contended)


def test_children_forked_while_threads_wait_for_each_primitive(run, stress):
    """The fork copies each object in some state. The child makes it free and uses it, every fourth
    child with its own threads."""
    children = stress.size(300, 6_000) if FAST and GIL else stress.size(50, 1_500)
    forked, contended = run(
        """
import family
children = int(sys.argv[1])
objects = [kind() for kind in family.KINDS.values()]
rlock, bounded = golock.RLock(), golock.BoundedSemaphore(2)
stop = False
def wait(object):
    while not stop:
        object.wait(0.0005)
def unblock(object):
    while not stop:
        object.unblock() if not isinstance(object, family.Barrier) else object.wait(0.0005)
        time.sleep(0.0002)
exclusive = family.Lock | family.RLock | family.BoundedSemaphore  # cannot be released twice

def contend_for(object):
    object.hold()
    assert not object.wait(0.0002)
    served = []
    waiter = threading.Thread(target=lambda: served.append(object.wait()))
    waiter.start()
    object.unblock()
    waiter.join()
    assert served == [True]

def child(number):
    for object in objects:
        object.restore()
    rlock._at_fork_reinit()
    if bounded._value < 2:
        bounded.release()
    for object in objects:
        object.use()
    with rlock, bounded:
        assert rlock._is_owned()
    if number % 4 == 0:
        for object in objects:
            contend_for(object)
        contend()

waiters = [threading.Thread(target=wait, args=[object]) for object in objects]
waiters += [threading.Thread(target=unblock, args=[object])
            for object in objects if not isinstance(object, exclusive)]
for waiter in waiters:
    waiter.start()
running, contended = [], 0
with Fight(rlock, bounded):
    for number in range(children):
        running.append(fork(f'child {number}', lambda: child(number)))
        contended += number % 4 == 0
        if len(running) == 4:
            reap(running.pop(0))
    while running:
        reap(running.pop(0))
stop = True
for waiter in waiters:
    waiter.join()
print(children, contended)
""",
        children,
    )
    stress.count("children forked", forked)
    stress.count("children that contended", contended)


def test_four_generations(run, stress):
    """Each child contends, and forks a child that does the same while its threads fight."""
    lines, generations = stress.size(20, 200) if FAST else stress.size(10, 100), 4
    (wrong,) = run(
        """
lines, generations = map(int, sys.argv[1:])
def descend(generation, line):
    lock = golock.allocate_lock()
    contend()
    assert golock._golock.core()['private_copies'] == generation
    assert descriptors() == opened, (generation, os.listdir("/proc/self/fd"))
    if generation < generations:
        with Fight(lock):
            with lock:
                child = fork(f'generation {generation + 1} of line {line}',
                             lambda: (lock.release(), descend(generation + 1, line)))
            contend()
        reap(child)
opened = descriptors()
for line in range(lines):
    descend(0, line)
print(0)
""",
        lines,
        generations,
    )
    assert wrong == 0
    stress.count("children forked", lines * generations)
    stress.count("children that contended", lines * generations)


def test_subprocesses_with_preexec_fn(run, stress):
    """Python code, with locks, between fork and exec; every fourth contends there."""
    children = stress.size(100, 1_000)
    run(
        """
import subprocess
fought = golock.allocate_lock()
def prepare():
    faulthandler.dump_traceback_later(60, exit=True)  # because the parent waits for this function
    if fought.locked():
        fought._at_fork_reinit()
    with fought:
        assert not fought.acquire(False)
    if number % 4 == 0:
        contend()
with Fight(fought):
    for number in range(int(sys.argv[1])):
        if number == 8:
            before = descriptors()
        with fought:
            process = subprocess.Popen(['/bin/true'], preexec_fn=prepare)
        assert process.wait(60) == 0, number
    assert descriptors() == before
""",
        children,
    )
    stress.count("children forked", children)
    stress.count("children that contended", (children + 3) // 4)


@pytest.mark.parametrize("install", [False, True], ids=["own locks", "install"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pool(run, stress, method, install):
    """With `install`, the pool's threads and queues use golock, as does the work they do."""
    tasks = stress.size(60, 600)
    (processes,) = run(
        """
import multiprocessing
folder, method, install, tasks = sys.argv[1:]
if install == 'True':
    golock.install()
sys.path.insert(0, folder)
import pool_work
faulthandler.dump_traceback_later(250, exit=True)
contend()
context = multiprocessing.get_context(method)
with context.Pool(3, maxtasksperchild=10) as pool:
    answers = pool.map_async(pool_work.work, range(int(tasks)), chunksize=1).get(240)
    pool.close()
    pool.join()
assert [number for number, _ in answers] == list(range(int(tasks)))
print(len({pid for _, pid in answers}))
""",
        Path(__file__).parent,
        method,
        install,
        tasks,
    )
    assert processes >= tasks // 10
    stress.count("processes of pools", processes)
    stress.count("tasks of pools", tasks)
