"""golock.sight: who waits for what, and who is deadlocked."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

import golock
from golock import sight
from waiting import join, start, wait_until


@pytest.fixture(autouse=True)
def _sight():
    sight.start()
    yield
    sight.stop()


def acquired(lock):
    lock.acquire()
    return lock, lock.acquire, lock.release


def emptied():
    semaphore = golock.Semaphore(0)
    return semaphore, semaphore.acquire, semaphore.release


def unset():
    event = golock.Event()
    return event, event.wait, event.set


def unnotified():
    condition = golock.Condition()

    def wait():
        with condition:
            condition.wait()

    def notify():
        with condition:
            condition.notify()

    return condition, wait, notify


def half_full():
    barrier = golock.Barrier(2)
    return barrier, barrier.wait, barrier.wait


def owned_elsewhere():
    lock = golock.RLock()
    taken, done = threading.Event(), threading.Event()

    def own():
        with lock:
            taken.set()
            done.wait()

    owner = start(own)
    taken.wait()

    def release():
        done.set()
        join([owner])

    return lock, lock.acquire, release


KINDS = {
    "lock": lambda: acquired(golock.Lock()),
    "RLock": owned_elsewhere,
    "Semaphore": emptied,
    "Event": unset,
    "Condition": unnotified,
    "Barrier": half_full,
}


def waits_for(thing):
    return [wait for wait in sight.snapshot().waits if wait.lock.id == id(thing)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_is_seen_while_it_lasts(kind):
    thing, wait, end = KINDS[kind]()
    assert waits_for(thing) == []
    before = time.monotonic()
    thread = start(wait)
    wait_until(lambda: waits_for(thing), "waits")
    (seen,) = waits_for(thing)
    assert (seen.thread, seen.thread_name) == (thread.ident, thread.name)
    assert (seen.lock.kind, seen.limited) == (kind, False)
    assert 0 <= seen.seconds <= time.monotonic() - before
    assert "run" in [frame.function.rpartition(".")[2] for frame in seen.stack]
    end()
    join([thread])
    assert waits_for(thing) == []


def test_a_limit_is_seen():
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire, True, 60)
    wait_until(lambda: waits_for(lock), "waits")
    assert waits_for(lock)[0].limited
    lock.release()
    join([thread])


def test_a_condition_waits_for_its_lock_after_the_notification():
    condition, wait, _ = unnotified()
    thread = start(wait)
    wait_until(lambda: waits_for(condition), "waits")
    lock = condition._lock if hasattr(condition, "_lock") else None
    condition.acquire()
    condition.notify()
    wait_until(lambda: not waits_for(condition), "was notified")
    assert [each.lock.kind for each in sight.snapshot().waits] == ["RLock"]
    condition.release()
    join([thread])
    assert lock is None or waits_for(lock) == []


def test_a_name():
    lock = golock.Lock()
    sight.name(lock, "the table")
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    assert waits_for(lock)[0].lock.name == "the table"
    lock.release()
    join([thread])
    assert id(lock) in sight._names
    key, thread = id(lock), None
    lock = None
    assert key not in sight._names


def test_nothing_is_recorded_when_off():
    sight.stop()
    assert sight.level() == "off"
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    time.sleep(0.01)
    assert sight.snapshot().waits == ()
    lock.release()
    join([thread])


def test_a_wait_that_began_before_the_stop_is_seen_until_it_ends():
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    sight.stop()
    assert len(waits_for(lock)) == 1
    lock.release()
    join([thread])
    assert waits_for(lock) == []


@pytest.mark.parametrize("level", ["all", "", "Waits", None])
def test_a_level_that_does_not_exist(level):
    with pytest.raises(ValueError, match="no such level"):
        sight.start(level)
    assert sight.level() == "waits"


def test_environment(python, check):
    code = "import golock; print(golock.sight.level())"
    for value, level in {"waits": "waits", "off": "off", "": "off"}.items():
        check(python(code, env={**os.environ, "GOLOCK_SIGHT": value}), f"{level}\n")
    refused = python(code, env={**os.environ, "GOLOCK_SIGHT": "everything"})
    assert "ValueError: GOLOCK_SIGHT is neither off nor waits: 'everything'" in refused.stderr


def test_json():
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    document = json.loads(json.dumps(sight.snapshot().as_json()))
    assert [wait["lock"]["id"] for wait in document["waits"]] == [id(lock)]
    lock.release()
    join([thread])


CIRCLE = """
import sys
import threading
import golock
from golock import sight

sight.start()
members, timeout = int(sys.argv[1]), float(sys.argv[2])
locks = [golock.RLock() for _ in range(members)]
all_own_one = threading.Barrier(members + 1)

def work(index):
    with locks[index]:
        all_own_one.wait()
        locks[(index + 1) % members].acquire(timeout=timeout)

for index in range(members):
    name = f"worker {index}"
    threading.Thread(target=work, args=(index,), name=name, daemon=True).start()
all_own_one.wait()
while not (found := sight.deadlocks()):
    pass
(deadlock,) = found
print(sorted(wait.thread_name for wait in deadlock.waits), deadlock.certain)
print(all(
    locks[(int(wait.thread_name.split()[1]) + 1) % members] is next(
        lock for lock in locks if id(lock) == wait.lock.id
    )
    for wait in deadlock.waits
))
text = str(deadlock)
print(text.count("which worker "), text.count(", in work"), "acquire(timeout=timeout)" in text)
import os
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("members", [2, 3, 64])
@pytest.mark.parametrize("timeout", [-1, 1000])
def test_a_deadlock_is_found(python, check, members, timeout):
    workers = sorted(f"worker {index}" for index in range(members))
    check(
        python(CIRCLE, str(members), str(timeout)),
        f"{workers} {timeout == -1}\nTrue\n{members} {members} False\n",
    )


def test_threads_that_wait_for_a_deadlocked_one_are_no_part_of_it():
    def wait(thread, lock, holder):
        return sight.Wait(
            thread, f"thread {thread}", sight.Lock(lock, "RLock", "", holder), 1.0, False, ()
        )

    waits = (wait(1, 10, 2), wait(2, 20, 3), wait(3, 30, 2), wait(4, 40, None), wait(5, 10, 2))
    (deadlock,) = sight._deadlocks(sight.Snapshot("waits", waits, 0))
    assert {each.thread for each in deadlock.waits} == {2, 3}
    assert deadlock.certain
    assert not deadlock.has_main_thread


def test_a_child_has_the_waits_of_its_own_thread_alone(python, check):
    check(
        python(
            """
import os
import threading
import golock
from golock import sight

sight.start()
lock = golock.Lock()
lock.acquire()
thread = threading.Thread(target=lock.acquire)
thread.start()
while not sight.snapshot().waits:
    pass
child = os.fork()
if child == 0:
    assert sight.level() == "waits"
    assert sight.snapshot().waits == ()
    other = golock.Lock()
    other.acquire()
    waits = threading.Thread(target=other.acquire)
    waits.start()
    while not sight.snapshot().waits:
        pass
    other.release()
    waits.join()
    os._exit(0)
print(os.waitpid(child, 0)[1], len(sight.snapshot().waits))
lock.release()
thread.join()
""",
        ),
        "0 1\n",
    )


def test_the_level_changes_under_contention():
    lock, ended, counts = golock.Lock(), golock.Event(), []

    def contend():
        count = 0
        while not ended.is_set():
            with lock:
                count += 1
        counts.append(count)

    threads = [start(contend) for _ in range(4)]
    for turn in range(500):
        sight.start(sight.LEVELS[turn % 2])
        sight.snapshot()
    ended.set()
    join(threads)
    assert all(counts)
    assert sight.snapshot().waits == ()
