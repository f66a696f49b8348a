"""Levels of golock.sight that change a thousand times a second: under contention, signals, forks.

Meanwhile images are decoded, in which each index must be one that exists.
"""

from __future__ import annotations

import pytest

PROGRAM = """
import faulthandler, os, random, signal, sys, threading, time, warnings
import golock
from golock import _golock
from golock.sight import _image

faulthandler.enable()
faulthandler.dump_traceback_later(240, exit=True)
# From 3.12 on, os.fork() warns when the process has threads, the core's included.
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
sys.setswitchinterval(0.0005)

seconds, seed = float(sys.argv[1]), int(sys.argv[2])
end = time.monotonic() + seconds
rounds = dict.fromkeys(('switches', 'images', 'waits', 'forks', 'signals', 'threads'), 0)

lock, outer, rlock = golock.Lock(), golock.Lock(), golock.RLock()
semaphore, condition = golock.Semaphore(2), golock.Condition()
event, barrier = golock.Event(), golock.Barrier(2)
counts = {'lock': 0, 'rlock': 0, 'inside': 0}

def with_lock():
    with lock:
        counts['lock'] += 1

def with_both():
    with outer:
        with_lock()

def with_rlock():
    with rlock, rlock:
        counts['rlock'] += 1

def with_semaphore():
    if semaphore.acquire(timeout=0.01):
        counts['inside'] += 1
        semaphore.release()

def with_condition():
    with condition:
        condition.notify()
        condition.wait(0.001)

def with_event():
    event.wait(0.001)
    event.set()
    event.clear()

def with_barrier():
    try:
        barrier.wait(0.002)
    except threading.BrokenBarrierError:
        barrier.reset()

def with_lock_of_its_own():
    mine = golock.Lock()
    mine.acquire()
    mine.acquire(timeout=0.0001)

calls = [with_lock, with_both, with_rlock, with_semaphore, with_condition, with_event,
         with_barrier, with_lock_of_its_own]

def deep(call, depth):
    return call() if depth == 0 else deep(call, depth - 1)

done = {with_lock: 0, with_both: 0, with_rlock: 0}

def work(choose, until):
    mine = dict.fromkeys(done, 0)
    while time.monotonic() < until:
        call = choose.choice(calls)
        deep(call, choose.randrange(20))
        if call in mine:
            mine[call] += 1
    with totals:
        for call in mine:
            done[call] += mine[call]

totals = threading.Lock()

def begin(number):
    choose = random.Random(number)
    thread = threading.Thread(target=work, args=(choose, min(end, time.monotonic() + 0.5)),
                              name=f'worker {number}')
    thread.start()
    return thread

def decode(data):
    seen = _image.Image(data)
    for wait in seen.waits:
        rounds['waits'] += 1
        assert wait.object and wait.since <= time.monotonic_ns()
        for frame in seen.stack(wait.stack):
            seen.string(seen.frame(frame).file), seen.string(seen.frame(frame).function)
    for thread in seen.threads:
        seen.string(thread.name)
    for each in seen.objects:
        seen.string(each.name), seen.stack(each.stack), seen.stack(each.created)
        assert each.kind < len(_image.KINDS)
    for sample in seen.samples:
        seen.string(sample.thread_name), seen.stack(sample.stack), seen.stack(sample.holder)
    for edge in seen.order:
        seen.stack(edge.from_stack), seen.stack(edge.to_stack)

def look():
    while time.monotonic() < end:
        decode(_golock.sight_image())
        # Up to 3.11 a property of functools has a lock, which a child could find taken.
        _image.Image(_golock.sight_image()).cycles
        rounds['images'] += 1
        time.sleep(0.002)

def switch():
    choose = random.Random(seed)
    while time.monotonic() < end:
        _golock.set_sight_level(choose.randrange(4))
        rounds['switches'] += 1
        time.sleep(0.001)

signalled = golock.Lock()

def handle(*_):
    rounds['signals'] += 1
    if signalled.acquire(False):
        signalled.release()
    if rounds['signals'] % 8 == 0:
        _golock.set_sight_level(rounds['signals'] // 8 % 4)
    if rounds['signals'] % 32 == 0:
        fork()

def child():
    decode(_golock.sight_image())
    _golock.set_sight_level(2)
    mine = golock.Lock()
    with mine:
        thread = threading.Thread(target=mine.acquire)
        thread.start()
        _golock.sight_image()
    thread.join()
    decode(_golock.sight_image())
    _golock.set_sight_level(0)

def fork():
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    rounds['forks'] += 1
    children.append(pid)

children = []
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
others = [threading.Thread(target=target) for target in (look, switch)]
for thread in others:
    thread.start()
number, workers = 0, []
while time.monotonic() < end:
    workers = [each for each in workers if each.is_alive()]
    while len(workers) < 6:
        workers.append(begin(number))
        number += 1
        rounds['threads'] += 1
    with_both()
    counts['lock'] -= 1  # not by a worker
    with_condition()
    while len(children) > 2:
        assert os.waitstatus_to_exitcode(os.waitpid(children.pop(0), 0)[1]) == 0
signal.setitimer(signal.ITIMER_REAL, 0)
for thread in [*others, *workers]:
    thread.join()
for pid in children:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert counts['rlock'] == done[with_rlock], (counts, done)
_golock.set_sight_level(0)
assert not list(_image.Image(_golock.sight_image()).waits)
print(*rounds.values())
"""

KINDS = ["switches", "images", "waits seen", "forks", "signals", "threads"]


@pytest.mark.slow
def test_levels_switch_under_contention_signals_and_forks(numbers, stress):
    seconds = stress.size(6, 120)
    seen = dict(zip(KINDS, numbers(PROGRAM, seconds, 1, timeout=280), strict=True))
    assert all(seen.values()), seen
    for what, number in seen.items():
        stress.count(f"{what} while levels of sight switched", number)
