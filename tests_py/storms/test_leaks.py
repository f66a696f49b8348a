"""References and memory return to where they were.

Each program warms up, measures, repeats, and measures again.
"""

from __future__ import annotations

import json

import pytest

PRELUDE = """
import copy, ctypes, gc, json, os, pickle, resource, signal, sys, threading, time, weakref
import golock
rounds = int(sys.argv[1])

def resident():
    gc.collect()
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error)
    raise AssertionError('it raised nothing')

def wait_for_signal(lock, seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    lock.acquire(True, 100)
"""

REFERENCES = """
class Index:
    def __index__(self):
        return 0

class Raises:
    def refuse(self):
        raise ZeroDivisionError
    __index__ = __bool__ = __float__ = refuse

# Objects of their own: a number up to 256 may live for ever.
index, raises, nan, huge, timeout, text = (
    Index(), Raises(), float('nan'), 2 ** 200, float('1e-9'), 'patience' + sys.argv[1])
keywords = {text: 1}
lock, held = golock.allocate_lock(), golock.allocate_lock()
held.acquire()

def interrupted():
    def handler(*arguments):
        raise KeyError('interrupted')
    before = signal.signal(signal.SIGALRM, handler)
    assert refused(wait_for_signal, held, 0.0002) is KeyError
    signal.signal(signal.SIGALRM, before)

def with_exception():
    with lock:
        raise KeyError

calls = {
    'allocate_lock': golock.allocate_lock,
    'Lock': golock.Lock,
    'acquire': lambda: (lock.acquire(), lock.release()),
    'acquire_lock': lambda: (lock.acquire_lock(True, 5), lock.release_lock()),
    'with': lambda: lock.__exit__(lock.__enter__(), None, None),
    'with an exception': lambda: refused(with_exception),
    'acquire index': lambda: held.acquire(True, index),
    'acquire in vain': lambda: held.acquire(False),
    'acquire timeout': lambda: held.acquire(timeout=timeout),
    'acquire interrupted': interrupted,
    'acquire nan': lambda: refused(lock.acquire, True, nan),
    'acquire huge': lambda: refused(lock.acquire, True, huge),
    'acquire text': lambda: refused(lock.acquire, True, text),
    'acquire raises': lambda: refused(lock.acquire, True, raises),
    'acquire blocking raises': lambda: refused(lock.acquire, raises),
    'acquire negative': lambda: refused(lock.acquire, True, -2),
    'acquire not blocking': lambda: refused(lock.acquire, False, timeout),
    'acquire too many': lambda: refused(lock.acquire, True, timeout, text),
    'acquire wrong keyword': lambda: refused(lock.acquire, **keywords),
    'acquire twice given': lambda: refused(lock.acquire, True, blocking=text),
    'release unlocked': lambda: refused(lock.release),
    'locked': lambda: (lock.locked(), held.locked_lock()),
    'repr': lambda: (repr(lock), repr(held)),
    'weakref': lambda: weakref.ref(golock.allocate_lock()),
    'weakref callback': lambda: weakref.ref(golock.allocate_lock(), print_nothing),
    'reinit': lock._at_fork_reinit,
    'set_handoff': lambda: golock.set_handoff(golock.get_handoff()),
    'set_handoff text': lambda: refused(golock.set_handoff, text),
    'set_handoff nan': lambda: refused(golock.set_handoff, nan),
    'set_handoff huge': lambda: refused(golock.set_handoff, huge),
    'set_handoff negative': lambda: refused(golock.set_handoff, -1),
    'core': golock._golock.core,
    'install': lambda: (golock.install(), golock.installed(), golock.uninstall()),
    'copy': lambda: refused(copy.copy, lock),
    'pickle': lambda: refused(pickle.dumps, lock),
    'compare': lambda: refused(lambda: lock < held),
    'subclass': lambda: refused(type, 'Sub', (golock.LockType,), {}),
    'attribute': lambda: refused(setattr, lock, 'name', text),
    'new': lambda: refused(golock.LockType, text),
}

def print_nothing(reference):
    pass

def watched():
    return [golock, golock._golock, golock.LockType, golock.CoreError, golock.Lock,
            golock.TIMEOUT_MAX, lock, held, index, raises, nan, huge, timeout, text, keywords,
            KeyError, None, True, False]

def counts():
    gc.collect()
    return [sys.getrefcount(each) for each in watched()] + [len(gc.get_objects())]

grown = {}
for name, call in calls.items():
    for _ in range(20):
        call()
    before = counts()
    for _ in range(rounds):
        call()
    after = counts()
    # The program itself may keep a few; a leak keeps one for each call.
    if any(now - then > rounds // 2 for then, now in zip(before, after)):
        grown[name] = [now - then for then, now in zip(before, after)]
print(json.dumps({'grown': grown, 'calls': rounds * len(calls)}))
"""

MEMORY = """
def lifetime(number):
    for i in range(number):
        lock = golock.allocate_lock()
        reference = weakref.ref(lock)
        with lock:
            if i % 64 == 0:
                lock.acquire(timeout=1e-9)
        if i % 256 == 0:
            contend()
        assert reference() is lock
        del lock
        assert reference() is None

def contend():
    lock = golock.allocate_lock()
    lock.acquire()
    calls.put(lock)
    lock.release()
    done.get()

import queue
calls, done = queue.SimpleQueue(), queue.SimpleQueue()
def serve():
    while True:
        lock = calls.get()
        with lock:
            done.put(None)
        del lock
threading.Thread(target=serve, daemon=True).start()

def interrupt(number):
    lock = golock.allocate_lock()
    lock.acquire()
    class Interrupted(Exception):
        pass
    def handler(*arguments):
        raise Interrupted
    signal.signal(signal.SIGALRM, handler)
    for _ in range(number):
        assert refused(wait_for_signal, lock, 0.0001) is Interrupted

def run(number):
    lifetime(number)
    interrupt(number // 500)

run(rounds // 5)
before = resident()
run(rounds)
print(json.dumps({'grown': resident() - before}))
"""


def run(python, code, *arguments):
    result = python(PRELUDE + code, *arguments, timeout=250)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_references(python, storm):
    found = run(python, REFERENCES, str(storm.size(200, 2000)))
    assert found["grown"] == {}
    storm.count("calls whose references were counted", found["calls"])


def test_memory(python, storm):
    locks = storm.size(100_000, 1_000_000)
    found = run(python, MEMORY, str(locks))
    # A byte for each lock is far less than a lock; the allocators' own pages are more than none.
    assert found["grown"] < 2**20 + locks
    storm.count("locks created and dropped", locks)


@pytest.mark.parametrize("threads", [50])
def test_memory_of_threads(python, storm, threads):
    """Threads that wait and end: what a runtime keeps for a thread, it keeps for the next."""
    generations = storm.size(10, 100)
    code = """
def generation():
    lock = golock.allocate_lock()
    lock.acquire()
    wait = lambda: lock.acquire(timeout=0.005)
    waiters = [threading.Thread(target=wait) for _ in range(int(sys.argv[2]))]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
for _ in range(5):
    generation()
before = resident()
for _ in range(rounds):
    generation()
print(json.dumps({'grown': resident() - before}))
"""
    found = run(python, code, str(generations), str(threads))
    assert found["grown"] < 4 * 2**20 + generations * 2**12
    storm.count("threads that waited and ended", generations * threads)
