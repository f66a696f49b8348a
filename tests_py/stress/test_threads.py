"""Threads that come and go while they contend, end with a lock held, wait in a long queue, or pass
work on."""

from __future__ import annotations

import pytest

PRELUDE = """
import os, sys, threading, time
import golock
from waiting import asleep_on

def wait_asleep_on(lock, thread):
    while not asleep_on(lock, thread):
        time.sleep(0.0001)
"""


def test_threads_come_and_go_while_contending(python, stress, check):
    threads, acquires = stress.size(5_000, 50_000), 12
    result = python(
        PRELUDE
        + """
number, acquires, together = int(sys.argv[1]), int(sys.argv[2]), 32
lock, others = golock.allocate_lock(), golock.allocate_lock()
room = threading.Semaphore(together)
taken = timed_out = ended = 0
def work():
    global taken, timed_out, ended
    missed = 0
    for i in range(acquires):
        if i % 4 == 0 and not lock.acquire(timeout=1e-5):
            missed += 1
            continue
        if i % 4:
            lock.acquire()
        taken += 1
        if i % 7 == 0:
            time.sleep(0)  # releases the GIL, so that others find the lock taken
        lock.release()
    with others:
        timed_out += missed
        ended += 1
    room.release()

def live_threads():
    return len(os.listdir('/proc/self/task'))
threads, most = [], 0
for i in range(number):
    room.acquire()
    threads.append(threading.Thread(target=work))
    threads[-1].start()
    if len(threads) == 4 * together:
        for thread in threads:
            thread.join()
        threads.clear()
        if i < number // 2:
            most = max(most, live_threads())
for thread in threads:
    thread.join()
print(ended, taken + timed_out)
# The core's threads must not grow with the number of threads that came and went.
while live_threads() > most + 4:
    time.sleep(0.01)
""",
        str(threads),
        str(acquires),
        timeout=200,
    )
    check(result, f"{threads} {threads * acquires}\n")
    stress.count("threads that came and went", threads)
    stress.count("acquires", threads * acquires)


def test_threads_that_leave_with_the_lock_held(python, stress, check):
    rounds = stress.size(100, 3_000)
    result = python(
        PRELUDE
        + """
for i in range(int(sys.argv[1])):
    golock.set_handoff(i % 2 / 1000)
    lock, answers = golock.allocate_lock(), []
    def leave():
        lock.acquire()
    def give_up():
        answers.append(lock.acquire(timeout=0.001))
    first = threading.Thread(target=leave)
    first.start()
    first.join()
    heirs = [threading.Thread(target=leave) for _ in range(2)]
    losers = [threading.Thread(target=give_up) for _ in range(3)]
    for thread in heirs + losers:
        thread.start()
    for thread in losers:
        thread.join()
    assert answers == [False] * 3, answers
    for left in 1, 0:
        lock.release()  # on behalf of the one that ended
        while sum(thread.is_alive() for thread in heirs) > left:
            time.sleep(0.0001)
    assert not lock.acquire(False) and not lock.acquire(timeout=1e-6)
    lock.release()
    assert lock.acquire(False)
print('end')
""",
        str(rounds),
    )
    check(result, "end\n")
    stress.count("threads that left with the lock held", 3 * rounds)


@pytest.mark.parametrize("handoff", ["0", "0.001"])
def test_each_release_serves_one_waiter(python, stress, handoff, check):
    """In the order of arrival. Each waiter ends with the lock held; the next release frees it."""
    rounds = stress.size(1, 6)
    result = python(
        PRELUDE
        + """
rounds, handoff, number = int(sys.argv[1]), float(sys.argv[2]), 500
golock.set_handoff(handoff)
threading.stack_size(1 << 18)
for _ in range(rounds):
    lock, order, served = golock.allocate_lock(), [], threading.Semaphore(0)
    def wait(turn):
        lock.acquire()
        order.append(turn)
        served.release()
    lock.acquire()
    waiters = []
    for turn in range(number):
        waiters.append(threading.Thread(target=wait, args=[turn]))
        waiters[-1].start()
        wait_asleep_on(lock, waiters[-1])
    for turn in range(number):
        assert lock.locked() and len(order) == turn
        lock.release()
        served.acquire()
    assert order == list(range(number)), order
    for waiter in waiters:
        waiter.join()
    assert lock.locked()
print('end')
""",
        str(rounds),
        handoff,
    )
    check(result, "end\n")
    stress.count("waiters served in the order of arrival", 500 * rounds)


PASS_ON = """
number, threads = int(sys.argv[1]), 8
def in_threads(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
def check(seen):
    assert sorted(seen) == list(range(threads * number)), len(seen)
    print(len(seen))
"""


@pytest.fixture
def pass_on(numbers, stress):
    """Run a program in which eight threads pass a number of items each."""

    def pass_on(program):
        passed = numbers(PRELUDE + PASS_ON + program, stress.size(1_000, 10_000), timeout=200)
        stress.count("items passed from thread to thread", sum(passed))

    return pass_on


@pytest.mark.parametrize("handoff", ["0", "0.001"])
def test_queues_under_install(pass_on, handoff):
    """The standard library's queues, with many threads at both ends; some calls time out."""
    pass_on(
        """
golock.install()
import queue
golock.set_handoff(HANDOFF)
for kind in queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue:
    line = kind() if kind is queue.SimpleQueue else kind(5)
    assert kind is queue.SimpleQueue or type(line.not_empty) is golock.Condition
    seen = []
    def produce(first):
        for item in range(first, first + number):
            while True:
                try:
                    line.put(item, timeout=0.001 if item % 3 == 0 else None)
                except queue.Full:
                    continue
                break
    def consume():
        for turn in range(number):
            while True:
                try:
                    item = line.get(timeout=0.001 if turn % 3 == 0 else None)
                except queue.Empty:
                    continue
                break
            seen.append(item)
            if kind is not queue.SimpleQueue:
                line.task_done()
    in_threads(*[lambda first=k * number: produce(first) for k in range(threads)],
               *[consume] * threads)
    if kind is not queue.SimpleQueue:
        line.join()
    assert line.empty()
    check(seen)
""".replace("HANDOFF", handoff),
    )


def test_producers_and_consumers_over_each_primitive(pass_on):
    """A bounded buffer of five places, guarded in three ways, and rounds separated by a barrier and
    an event; each item is seen once."""
    pass_on(
        """
places = 5

def run(put, get):
    seen = []
    def produce(first):
        for item in range(first, first + number):
            put(item)
    def consume():
        for _ in range(number):
            seen.append(get())
    in_threads(*[lambda first=k * number: produce(first) for k in range(threads)],
               *[consume] * threads)
    check(seen)

def over_conditions(lock):
    not_full, not_empty, items = golock.Condition(lock), golock.Condition(lock), []
    def put(item):
        with not_full:
            while len(items) == places:
                not_full.wait()
            items.append(item)
            not_empty.notify()
    def get():
        with not_empty:
            not_empty.wait_for(lambda: items)
            not_full.notify()
            return items.pop()
    run(put, get)
for lock in golock.allocate_lock(), golock.RLock(), threading.RLock():
    over_conditions(lock)

def over_semaphores(kind):
    room, filled, lock, items = kind(places), golock.Semaphore(0), golock.RLock(), []
    def put(item):
        room.acquire()
        with lock, lock:
            items.append(item)
        assert len(items) <= places
        filled.release()
    def get():
        while not filled.acquire(timeout=0.01):
            pass
        with lock:
            item = items.pop()
        room.release()
        return item
    run(put, get)
    assert (room._value, filled._value) == (places, 0)
for kind in golock.Semaphore, golock.BoundedSemaphore:
    over_semaphores(kind)

def over_event_and_barrier():
    seen, rounds = [], []
    start, arrived = golock.Event(), golock.Barrier(threads + 1, lambda: rounds.append(1))
    left = golock.Barrier(threads + 1, start.clear)
    def work(first):
        for item in range(first, first + number):
            assert start.wait()
            seen.append(item)
            arrived.wait()
            left.wait()
    def lead():
        for turn in range(number):
            start.set()
            arrived.wait()
            assert len(seen) == threads * (turn + 1) and len(rounds) == turn + 1
            left.wait()
    in_threads(lead, *[lambda first=k * number: work(first) for k in range(threads)])
    check(seen)
over_event_and_barrier()
""",
    )


def test_threads_come_and_go_while_they_wait(python, stress, check):
    """Each waits at every primitive with a timeout that expires, or nearly does."""
    threads = stress.size(1_000, 20_000)
    result = python(
        PRELUDE
        + """
number, together = int(sys.argv[1]), 16
condition, event, semaphore = golock.Condition(), golock.Event(), golock.Semaphore(2)
rlock, barrier, ended = golock.RLock(), golock.Barrier(2), []
def work(turn):
    with condition:
        condition.notify()
        condition.wait(1e-4)
    event.set() if turn % 3 == 0 else event.clear()
    event.wait(1e-4)
    if semaphore.acquire(timeout=1e-4):
        with rlock, rlock:
            time.sleep(0)
        semaphore.release()
    try:
        barrier.wait(1e-4)
    except threading.BrokenBarrierError:
        barrier.reset()
    ended.append(turn)
for first in range(0, number, together):
    threads = [threading.Thread(target=work, args=[first + k]) for k in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert (semaphore._value, repr(condition)[-6:], rlock._is_owned()) == (2, '>, 0)>', False)
barrier.reset()
assert barrier.n_waiting == 0
print(len(ended) >= number)
""",
        str(threads),
    )
    check(result, "True\n")
    stress.count("threads that came and went", threads)
