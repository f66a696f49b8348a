"""References and memory return to where they were.

Each program warms up, measures, repeats, and measures again.
"""

from __future__ import annotations

import json

import pytest

PRELUDE = """
import copy, ctypes, gc, itertools, json, os, pickle, resource, signal, sys, threading, time
import weakref
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

# New objects: a number up to 256 may be immortal.
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

def within(manager):
    with manager as address:
        assert golock.at(address) is lock

def print_nothing(reference):
    pass

def print_nothing_at_all():
    pass

calls = {
    'allocate_lock': golock.allocate_lock,
    'Lock': golock.Lock,
    'acquire': lambda: (lock.acquire(), lock.release()),
    'acquire_lock': lambda: (lock.acquire_lock(True, 5), lock.release_lock()),
    'with': lambda: lock.__exit__(lock.__enter__(), None, None),
    'with an exception': lambda: refused(with_exception),
    'acquire index': lambda: held.acquire(True, index),
    'acquire held': lambda: held.acquire(False),
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
    'address': lambda: golock.at(lock.address),
    'address of another': lambda: refused(golock._golock.address, text),
    'at nothing': lambda: refused(golock.at, huge - huge),
    'at huge': lambda: refused(golock.at, huge),
    'capsule': lambda: (lock.capsule, golock._golock.capsule(held)),
    'shared': lambda: [golock.shared(held).close(), within(golock.shared(lock))],
    'use_core': lambda: refused(golock.use_core, huge - huge),
    'install': lambda: (golock.install(), golock.installed(), golock.uninstall()),
    'copy': lambda: refused(copy.copy, lock),
    'pickle': lambda: refused(pickle.dumps, lock),
    'compare': lambda: refused(lambda: lock < held),
    'subclass': lambda: refused(type, 'Sub', (golock.LockType,), {}),
    'attribute': lambda: refused(setattr, lock, 'name', text),
    'new': lambda: refused(golock.LockType, text),
}

class OwnLock:
    def __init__(self):
        self.lock = threading.Lock()
        self.acquire, self.release = self.lock.acquire, self.lock.release
        self.locked = self.lock.locked
        self.__exit__ = self.lock.__exit__
    def __enter__(self):
        return self.lock.__enter__()

class WrongLock(OwnLock):
    def __init__(self):
        super().__init__()
        self.acquire = self.refuse
    def refuse(self, *args):
        raise KeyError

def call_with_a_timer(call, *arguments):
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    call(*arguments)

def interrupt(call, *arguments):
    def handler(*arguments):
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyError('interrupted')
    before = signal.signal(signal.SIGALRM, handler)
    assert refused(call_with_a_timer, call, *arguments) is KeyError
    signal.signal(signal.SIGALRM, before)

def inside(condition, call, *arguments):
    with condition:
        return call(*arguments)

def fails():
    raise KeyError

def cycle(kind):
    object = kind()
    object.itself = object
    object.text = text

def broken(barrier):
    barrier.abort()
    return refused(barrier.wait), barrier.reset()

class DerivedCondition(golock.Condition):
    def wait(self, timeout=None):
        return super().wait(timeout)

class DerivedSemaphore(golock.BoundedSemaphore):
    def release(self, n=1):
        super().release(n)

rlock, event, semaphore = golock.RLock(), golock.Event(), golock.Semaphore(0)
set_event = golock.Event()
set_event.set()
conditions = [golock.Condition(), golock.Condition(golock.allocate_lock()),
              golock.Condition(threading.RLock()), golock.Condition(OwnLock()), DerivedCondition()]
wrong = golock.Condition(WrongLock())
permits, bounded, derived = golock.Semaphore(5), golock.BoundedSemaphore(2), DerivedSemaphore(2)
barrier, alone = golock.Barrier(2), golock.Barrier(1, print_nothing_at_all)
raising = golock.Barrier(1, fails)
looked_at = golock.Event()
looked_at._cond
seconds = [timeout, index, raises, nan, huge, text]

def again(barrier):
    barrier.__init__(2, text, timeout)
    barrier.__init__(2)

for number, condition in enumerate(conditions):
    # A function, so that each lambda has its own condition.
    def add(condition, name):
        calls.update({
            f'{name} wait': lambda: inside(condition, condition.wait, 1e-6),
            f'{name} wait_for': lambda: inside(condition, condition.wait_for, lambda: text),
            f'{name} wait_for times out': lambda: inside(
                condition, condition.wait_for, lambda: '', 1e-6),
            f'{name} wait_for fails': lambda: refused(inside, condition, condition.wait_for, fails),
            f'{name} wait text': lambda: refused(inside, condition, condition.wait, text),
            f'{name} wait nan': lambda: (
                refused(inside, condition, condition.wait, nan)
                if sys.version_info >= (3, 14) else inside(condition, condition.wait, nan)),
            f'{name} wait raises': lambda: refused(inside, condition, condition.wait, raises),
            f'{name} wait without': lambda: refused(condition.wait),
            f'{name} wait interrupted': lambda: inside(
                condition, interrupt, condition.wait, 100),
            f'{name} notify': lambda: inside(condition, condition.notify, 3),
            f'{name} notify text': lambda: inside(condition, condition.notify, text),
            f'{name} notify without': lambda: refused(condition.notify),
            f'{name} notify_all': lambda: inside(condition, condition.notify_all),
            f'{name} save': lambda: inside(
                condition, lambda: condition._acquire_restore(condition._release_save())),
            f'{name} save without': lambda: refused(condition._release_save),
            f'{name} acquire': lambda: (condition.acquire(True), condition.release()),
            f'{name} look': lambda: (
                repr(condition), condition._is_owned(), condition._lock),
        })
    add(condition, f'condition {number}')

calls.update({
    'RLock': golock.RLock,
    'rlock': lambda: [rlock.acquire(), rlock.__enter__(), rlock.release(), rlock.release()],
    'rlock save': lambda: [rlock.acquire(), rlock._acquire_restore(rlock._release_save()),
                           rlock._is_owned(), repr(rlock), rlock.release()],
    'rlock release': lambda: refused(rlock.release),
    'rlock restore text': lambda: refused(rlock._acquire_restore, text),
    'rlock weakref': lambda: weakref.ref(golock.RLock(), print_nothing),
    'Condition': lambda: (golock.Condition(), golock.Condition(lock), golock.Condition(OwnLock())),
    'Condition text': lambda: refused(golock.Condition, text),
    'Condition again': lambda: golock.Condition().__init__(golock.RLock()),
    'Condition opened': lambda: (golock.Condition()._waiters, vars(golock.Condition(lock))),
    'Condition cycle': lambda: cycle(golock.Condition),
    'condition that cannot be taken again': lambda: refused(wrong.wait),
    'Semaphore': lambda: (golock.Semaphore(), golock.Semaphore(2 ** 31)),
    'Semaphore negative': lambda: refused(golock.Semaphore, -1),
    'Semaphore text': lambda: refused(golock.Semaphore, text),
    'Semaphore huge': lambda: golock.Semaphore(huge)._cond,
    'Semaphore cycle': lambda: cycle(golock.Semaphore),
    'semaphore': lambda: (permits.acquire(), permits.release(), permits._value, repr(permits)),
    'semaphore with': lambda: permits.__exit__(permits.__enter__(), None, None),
    'semaphore several': lambda: [*[permits.acquire() for _ in range(3)], permits.release(3)],
    'semaphore times out': lambda: (semaphore.acquire(False), semaphore.acquire(timeout=timeout)),
    'semaphore interrupted': lambda: interrupt(semaphore.acquire, True, 100),
    'semaphore none': lambda: refused(permits.release, 0),
    'semaphore text': lambda: refused(permits.release, text),
    'bounded': lambda: (bounded.acquire(), bounded.release(), repr(bounded)),
    'bounded too often': lambda: refused(bounded.release),
    'derived': lambda: derived.__exit__(derived.__enter__(), None, None),
    'Event': golock.Event,
    'Event cycle': lambda: cycle(golock.Event),
    'event': lambda: (event.set(), event.wait(), event.clear(), repr(event), event._flag),
    'event set': lambda: (set_event.wait(), set_event.wait(5), set_event.is_set()),
    'event times out': lambda: event.wait(timeout),
    'event interrupted': lambda: interrupt(event.wait, 100),
    'event text': lambda: refused(event.wait, text),
    'event with a condition': lambda: (looked_at.set(), looked_at.clear(), looked_at.wait(timeout)),
    'Event with a condition': lambda: golock.Event()._cond,
    'Barrier': lambda: golock.Barrier(2, print_nothing, timeout),
    'Barrier again': lambda: again(barrier),
    'Barrier cycle': lambda: cycle(lambda: golock.Barrier(3, text, timeout)),
    'barrier': alone.wait,
    'barrier raises': lambda: (refused(raising.wait), raising.reset()),
    'barrier times out': lambda: (refused(barrier.wait, timeout), barrier.reset()),
    'barrier broken': lambda: broken(barrier),
    'barrier interrupted': lambda: interrupt(barrier.wait, 100),
    'barrier text': lambda: refused(barrier.wait, text),
    'barrier look': lambda: (repr(barrier), barrier.parties, barrier.n_waiting, barrier.broken),
    'copies': lambda: (refused(copy.copy, rlock), [
        copy.copy(make()) for make in (golock.Event, golock.Semaphore, golock.Condition)]),
})

def watched():
    return [golock.RLock, golock.Condition, golock.Semaphore, golock.BoundedSemaphore, golock.Event,
            golock.Barrier, rlock, event, semaphore, set_event, *conditions, permits, bounded,
            derived, barrier, alone, raising, looked_at, OwnLock, DerivedCondition,
            DerivedSemaphore, threading.BrokenBarrierError,
            golock, golock._golock, golock.LockType, golock.CoreError, golock.Lock,
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
    # The program may keep a few; a leak keeps one for each call.
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
            listen()
        assert reference() is lock
        del lock
        assert reference() is None

def contend():
    lock = golock.allocate_lock()
    lock.acquire()
    calls.put(lock)
    lock.release()
    done.get()

def listen():
    condition, event, semaphore = golock.Condition(), golock.Event(), golock.Semaphore(0)
    barrier = golock.Barrier(2, timeout=1e-9)
    condition.itself, event.text, event._cond.event = condition, 'x' * 100, event
    with condition:
        assert not condition.wait(1e-9)
    assert not event.wait(1e-9) and not semaphore.acquire(timeout=1e-9)
    assert refused(barrier.wait) is threading.BrokenBarrierError

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


def test_references(python, stress):
    found = run(python, REFERENCES, str(stress.size(200, 2000)))
    assert found["grown"] == {}
    stress.count("calls whose references were counted", found["calls"])


def test_memory(python, stress):
    locks = stress.size(100_000, 1_000_000)
    found = run(python, MEMORY, str(locks))
    # A byte a lock is far less than a lock, and allows for the allocators' own pages.
    assert found["grown"] < 2**20 + locks
    stress.count("locks created and dropped", locks)


@pytest.mark.parametrize("threads", [50])
def test_memory_of_threads(python, stress, threads):
    """Threads wait and end: what the runtime keeps for one thread it reuses for the next."""
    generations = stress.size(10, 100)
    code = """
def generation():
    lock = golock.allocate_lock()
    lock.acquire()
    event, semaphore, condition = golock.Event(), golock.Semaphore(0), golock.Condition()
    def wait_at_condition():
        with condition:
            condition.wait(0.005)
    waits = itertools.cycle([lambda: lock.acquire(timeout=0.005), lambda: event.wait(0.005),
                             lambda: semaphore.acquire(timeout=0.005), wait_at_condition])
    wait = lambda: next(waits)()
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
    stress.count("threads that waited and ended", generations * threads)
