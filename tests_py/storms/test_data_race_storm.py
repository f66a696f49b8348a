"""All that a lock can be asked, by many threads at once: `make test-tsan` watches."""

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


def test_core_loaded_by_many_threads_at_once(python, storm, check):
    rounds = storm.size(5, 40)
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
    storm.count("cores loaded by threads at once", rounds)


def test_every_method_by_many_threads_at_once(python, storm):
    rounds = storm.size(100, 2_000)
    result = python(
        PRELUDE
        + """
rounds = int(sys.argv[1])
lock, relay, count = golock.allocate_lock(), golock.allocate_lock(), 0
def work(turn):
    global count
    for i in range(rounds):
        if turn == 0:
            # Takes it here, and another thread frees it.
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
for _ in range(10):  # the threads come and go
    in_threads(work, 8)
assert lock.acquire(False) and count >= 10 * 4 * (rounds // 3)
print(count)
""",
        str(rounds),
    )
    assert (result.returncode, result.stderr) == (0, "")
    storm.count("acquires", int(result.stdout))
