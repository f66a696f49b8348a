"""Many threads call every method of a primitive at once; `make test-tsan` finds their races."""

from __future__ import annotations

PRELUDE = """
import sys, threading, time, weakref
import golock

def in_threads(work, number):
    failures, start = [], threading.Barrier(number)
    def run(turn):
        start.wait()
        try:
            work(turn)
        except BaseException as failure:
            failures.append(failure)
            raise
    threads = [threading.Thread(target=run, args=[turn]) for turn in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
"""


def test_core_loaded_by_many_threads_at_once(python, stress, check):
    rounds = stress.size(5, 40)
    for _ in range(rounds):
        result = python(
            PRELUDE
            + """
held = golock.allocate_lock()
held.acquire()
def work(turn):
    if turn % 4 == 0:
        golock.set_handoff(turn / 1000)
        golock._golock.core()
    assert not held.acquire(timeout=1e-4)
    assert golock._golock.core()['loaded']
in_threads(work, 8)
print('end')
"""
        )
        check(result, "end\n")
    stress.count("cores loaded by threads at once", rounds)


def test_every_method_by_many_threads_at_once(numbers, stress):
    rounds = stress.size(100, 2_000)
    (acquires,) = numbers(
        PRELUDE
        + """
rounds = int(sys.argv[1])
lock, relay, count = golock.allocate_lock(), golock.allocate_lock(), 0
def work(turn):
    global count
    for i in range(rounds):
        if turn == 0:
            # Acquired here, released by another thread.
            if relay.acquire(timeout=1e-3):
                golock.set_handoff(i % 3 / 10000)
        elif turn == 1:
            try:
                relay.release()
            except RuntimeError:
                relay.locked(), repr(relay), golock.get_handoff()
        elif turn == 2:
            lock.locked(), repr(lock), golock._golock.core()
            assert weakref.ref(lock)() is lock
        elif turn == 3:
            fresh = golock.allocate_lock()
            with fresh:
                assert not fresh.acquire(False)
            fresh._at_fork_reinit()
        elif i % 3 == 0:
            if lock.acquire(timeout=1e-5):
                count += 1
                lock.release()
        elif i % 3 == 1:
            if lock.acquire(False):
                count += 1
                lock.release()
        else:
            with lock:
                count += 1
for _ in range(10):  # with new threads each time
    in_threads(work, 8)
assert lock.acquire(False) and count >= 10 * 4 * (rounds // 3)
print(count)
""",
        rounds,
    )
    stress.count("acquires", acquires)


def test_every_method_of_the_others_by_many_threads_at_once(python, stress, check):
    """Each of eight threads calls every method in its own order, with waits that time out."""
    rounds = stress.size(200, 3_000)
    result = python(
        PRELUDE
        + """
rounds = int(sys.argv[1])
rlock, condition, event = golock.RLock(), golock.Condition(), golock.Event()
over_lock = golock.Condition(golock.allocate_lock())
semaphore, bounded, barrier = golock.Semaphore(2), golock.BoundedSemaphore(3), golock.Barrier(3)

def refused(call, *errors):
    try:
        return call()
    except errors:
        return None

def use_rlock():
    with rlock:
        rlock._is_owned(), repr(rlock)
        if rlock.acquire(timeout=1e-5):
            rlock._acquire_restore(rlock._release_save())
            rlock.release()
    refused(rlock.release, RuntimeError)
def use_condition(condition):
    with condition:
        condition.notify()
        condition.wait(1e-5)
        condition._is_owned(), repr(condition), condition._waiters
        condition.notify_all()
        condition.wait_for(lambda: True)
        condition.wait_for(lambda: False, 1e-5)
        condition.notify(2)
def use_event():
    event.set()
    event.is_set(), repr(event), event._flag
    event.clear()
    event.wait(1e-5)
    event.set(), event.clear()
def use_semaphore():
    if semaphore.acquire(timeout=1e-5):
        semaphore._value, repr(semaphore)
        semaphore.release()
    with semaphore:
        pass
    taken = semaphore.acquire(False) + semaphore.acquire(False)
    if taken:
        semaphore.release(taken)
def use_bounded():
    if bounded.acquire(timeout=1e-5):
        bounded.release()
    refused(lambda: bounded.release(4), ValueError)
    with bounded:
        repr(bounded), bounded._value
def use_barrier():
    refused(lambda: barrier.wait(1e-4), threading.BrokenBarrierError)
    barrier.n_waiting, barrier.broken, barrier.parties, repr(barrier)
    barrier.reset() if barrier.broken else None
def break_barrier():
    barrier.abort()
    barrier.reset()
def make():
    for kind in golock.RLock, golock.Condition, golock.Event, golock.Semaphore:
        assert weakref.ref(kind())() is None
    fresh = golock.Event()
    fresh.set()
    fresh._cond
uses = [use_rlock, lambda: use_condition(condition), lambda: use_condition(over_lock), use_event,
        use_semaphore, use_bounded, use_barrier, break_barrier, make]
def work(turn):
    for i in range(rounds):
        for k in range(len(uses)):
            uses[(turn + i + k * (1 + turn % 4 * 2)) % len(uses)]()
in_threads(work, 8)
assert not rlock._is_owned() and rlock.acquire(False)
assert repr(condition).endswith(', 0)>') and repr(over_lock).endswith(', 0)>')
assert barrier.n_waiting == 0
assert semaphore._value == 2 and bounded._value == 3
print('end')
""",
        str(rounds),
    )
    check(result, "end\n")
    stress.count("rounds of all methods", 8 * rounds)


def test_one_listener_is_notified_by_many_and_gives_up_at_once(python, stress, check):
    """It is notified while it withdraws: its memory must live until both are done."""
    rounds = stress.size(1_000, 30_000)
    result = python(
        PRELUDE
        + """
rounds, stop = int(sys.argv[1]), False
condition, event = golock.Condition(golock.allocate_lock()), golock.Event()
def work(turn):
    global stop
    if turn == 0:
        for i in range(rounds):
            with condition:
                condition.wait(i % 50 * 1e-6)
            event.wait(i % 50 * 1e-6)
        stop = True
    while not stop:
        with condition:
            condition.notify() if turn % 2 else condition.notify_all()
        event.set()
        event.clear()
        time.sleep(0)
in_threads(work, 4)
print('end')
""",
        str(rounds),
    )
    check(result, "end\n")
    stress.count("waits notified as they gave up", 2 * rounds)
