"""Threads that come and go while they contend, leave with a lock held, or stand in a long line."""

from __future__ import annotations

import pytest

PRELUDE = """
import os, sys, threading, time
import golock

def asleep_on(lock, thread):
    "Whether the thread sleeps in the kernel on the word of the lock."
    with open(f'/proc/self/task/{thread.native_id}/syscall') as file:
        call = file.read().split()
    return len(call) > 1 and 0 <= int(call[1], 16) - id(lock) < sys.getsizeof(lock)

def wait_asleep_on(lock, thread):
    while not asleep_on(lock, thread):
        time.sleep(0.0001)
"""


def test_threads_come_and_go_while_contending(python, storm, check):
    threads, acquires = storm.size(5_000, 50_000), 12
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
            time.sleep(0)  # gives the GIL away, and the others find the lock taken
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
# The core's own threads do not become more with those that come and go.
while live_threads() > most + 4:
    time.sleep(0.01)
""",
        str(threads),
        str(acquires),
        timeout=200,
    )
    check(result, f"{threads} {threads * acquires}\n")
    storm.count("threads that came and went", threads)
    storm.count("acquires", threads * acquires)


def test_threads_that_leave_with_the_lock_held(python, storm, check):
    rounds = storm.size(100, 3_000)
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
        lock.release()  # for the one that has left
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
    storm.count("threads that left with the lock held", 3 * rounds)


@pytest.mark.parametrize("handoff", ["0", "0.001"])
def test_each_release_lets_one_waiter_go(python, storm, handoff, check):
    """In the order of their arrival; each leaves the lock held, and the next release is for it."""
    rounds = storm.size(1, 6)
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
    storm.count("waiters served in the order of arrival", 500 * rounds)
