"""golock.sight: who waits for what, and who is deadlocked."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest

import golock
from golock import sight
from waiting import join, start, wait_until

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


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
    functions = [frame.function.rpartition(".")[2] for frame in seen.stack]
    assert "run" in functions or not HAS_GIL
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
    code = "import golock.sight; print(golock.sight.level())"
    values = {"waits": "waits", "owners": "owners", "order": "order", "": "off"}
    for value, level in values.items():
        check(python(code, env={**os.environ, "GOLOCK_SIGHT": value}), f"{level}\n")
    refused = python(code, env={**os.environ, "GOLOCK_SIGHT": "everything"})
    assert (
        "ValueError: GOLOCK_SIGHT is none of off, waits, owners, order: 'everything'"
        in refused.stderr
    )


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
import signal
import sys
import threading
import golock
from golock import sight

members, timeout, kind, level = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
sight.start(level)
locks = [getattr(golock, kind)() for _ in range(members)]
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
print(text.count("which worker "), text.count(", in work"))
import os
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("known", [("RLock", "waits"), ("Lock", "owners"), ("RLock", "owners")])
@pytest.mark.parametrize("members", [2, 3, 64])
@pytest.mark.parametrize("timeout", [-1, 1000])
def test_a_deadlock_is_found(python, check, members, timeout, known):
    workers = sorted(f"worker {index}" for index in range(members))
    # Where it waits, and where it took its own.
    lines = members * (HAS_GIL + ("owners" in known))
    check(
        python(CIRCLE, str(members), str(timeout), *known),
        f"{workers} {timeout == -1}\nTrue\n{members} {lines}\n",
    )


def test_threads_that_wait_for_a_deadlocked_one_are_no_part_of_it():
    def wait(thread, lock, holder):
        hold = None if holder is None else sight.Hold(lock, "", holder, None, "", None, None)
        place = sight.Lock(lock, "RLock", "", hold, False)
        return sight.Wait(thread, thread, f"thread {thread}", place, 1.0, False, ())

    waits = [wait(1, 10, 2), wait(2, 20, 3), wait(3, 30, 2), wait(4, 40, None), wait(5, 10, 2)]
    (deadlock,) = sight._deadlocks(waits)
    assert {each.thread for each in deadlock.waits} == {2, 3}
    assert deadlock.certain
    assert not deadlock.has_main_thread


def test_a_child_has_the_waits_of_its_own_thread_alone(python, check):
    check(
        python(
            """
import os
import signal
import sys
import threading
import warnings
import golock
from golock import sight

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside other threads

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
        sight.start(sight.LEVELS[turn % 3])
        sight.snapshot()
    ended.set()
    join(threads)
    assert all(counts)
    assert sight.snapshot().waits == ()


def holds_of(lock):
    return [hold for hold in sight.snapshot().holds if hold.lock == id(lock)]


@pytest.fixture
def _owners():
    sight.start("owners")


@pytest.mark.parametrize("make", [golock.Lock, golock.RLock])
@pytest.mark.usefixtures("_owners")
class TestOwners:
    def test_a_holder_is_seen_while_it_holds(self, make):
        lock = make()
        assert holds_of(lock) == []
        with lock:
            (hold,) = holds_of(lock)
            assert (hold.thread, hold.thread_name) == (threading.get_ident(), "MainThread")
            assert hold.acquired_at.function.endswith("test_a_holder_is_seen_while_it_holds")
            assert "with lock:" in str(hold.acquired_at)
        assert holds_of(lock) == []

    def test_one_that_waited_is_seen_afterwards(self, make):
        lock, acquired, done = make(), threading.Event(), threading.Event()

        def hold():
            with lock:
                acquired.set()
                done.wait()

        with lock:
            thread = start(hold)
            wait_until(lambda: waits_for(lock), "waits")
            (wait,) = waits_for(lock)
            assert wait.lock.hold.thread == threading.get_ident()
        acquired.wait()
        assert [hold.thread for hold in holds_of(lock)] == [thread.ident]
        done.set()
        join([thread])
        assert holds_of(lock) == []

    def test_a_condition_takes_and_gives_it(self, make):
        condition = golock.Condition(lock := make())

        def wait():
            with condition:
                condition.wait()

        thread = start(wait)
        wait_until(lambda: waits_for(condition), "waits")
        assert holds_of(lock) == []
        with condition:
            condition.notify()
            assert [hold.thread for hold in holds_of(lock)] == [threading.get_ident()]
        join([thread])
        assert holds_of(lock) == []

    def test_what_was_held_before_the_start_has_no_holder(self, make):
        sight.start("waits")
        lock = make()
        with lock:
            sight.start("owners")
            assert holds_of(lock) == []
        with lock:
            assert len(holds_of(lock)) == 1

    def test_what_was_recorded_before_a_stop_counts_no_more(self, make):
        lock = make()
        lock.acquire()
        sight.stop()
        lock.release()
        sight.start("owners")
        assert holds_of(lock) == []
        with lock:
            sight.stop()
            sight.start("owners")
            assert holds_of(lock) == []

    def test_a_lock_that_goes_while_it_is_held(self, make):
        lock = make()
        lock.acquire()
        gone = id(lock)
        del lock
        assert [hold for hold in sight.snapshot().holds if hold.lock == gone] == []

    def test_tries(self, make):
        lock = make()
        assert lock.acquire(False)
        assert len(holds_of(lock)) == 1
        lock.release()
        assert lock.acquire(timeout=1)
        assert len(holds_of(lock)) == 1
        lock.release()


@pytest.mark.usefixtures("_owners")
def test_a_release_by_another_thread_is_remembered():
    lock = golock.Lock()
    lock.acquire()
    join([start(lock.release)])
    assert holds_of(lock) == []
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    assert waits_for(lock)[0].lock.released_by_another
    lock.release()
    join([thread])


@pytest.mark.usefixtures("_owners")
def test_a_thread_that_waits_for_itself():
    lock = golock.Lock()
    ended = threading.Event()

    def work():
        lock.acquire()
        lock.acquire()
        ended.set()

    thread = start(work)
    wait_until(sight.deadlocks, "found")
    (deadlock,) = sight.deadlocks()
    assert [wait.thread for wait in deadlock.waits] == [thread.ident]
    assert not deadlock.certain  # another thread may release it, as here
    assert str(deadlock).startswith("Possible deadlock of a thread with itself:")
    lock.release()
    ended.wait()


@pytest.mark.usefixtures("_owners")
def test_a_child_of_fork_knows_who_is_left(python, check):
    check(
        python(
            """
import os
import signal
import sys
import threading
import warnings
import golock
from golock import sight

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside other threads

sight.start("owners")
mine, other, taken, done = golock.Lock(), golock.Lock(), threading.Event(), threading.Event()

def hold():
    with other:
        taken.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
taken.wait()
mine.acquire()
child = os.fork()
if child == 0:
    holds = {hold.lock: hold.thread for hold in sight.snapshot().holds}
    assert holds[id(mine)] == threading.get_ident()
    assert holds[id(other)] == 0
    os._exit(0)
print(os.waitpid(child, 0)[1])
done.set()
thread.join()
"""
        ),
        "0\n",
    )


@pytest.mark.usefixtures("_owners")
@pytest.mark.parametrize("make", [golock.Lock, golock.RLock])
def test_a_handler_that_raises_ends_a_wait_without_the_lock(make):
    lock, owned, done = make(), threading.Event(), threading.Event()

    def own():
        with lock:
            owned.set()
            done.wait()

    def handle(*_):
        raise ZeroDivisionError

    owner = start(own)
    owned.wait()
    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(ZeroDivisionError):
            lock.acquire()
    finally:
        signal.signal(signal.SIGALRM, former)
    assert [hold.thread for hold in holds_of(lock)] == [owner.ident]
    done.set()
    join([owner])
    assert holds_of(lock) == []


@pytest.mark.usefixtures("_owners")
def test_a_level_that_is_left_forgets_the_holders():
    lock = golock.Lock()
    lock.acquire()
    sight.start("waits")
    assert sight.snapshot().holds == ()
    lock.release()
    lock.acquire()
    sight.start("owners")
    lock.release()
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    assert not waits_for(lock)[0].lock.released_by_another
    lock.release()
    join([thread])


@pytest.mark.usefixtures("_owners")
def test_waits_of_the_interpreters_own_condition_are_no_deadlock():
    condition = golock.Condition()
    vars(condition)  # opens it

    def wait():
        with condition:
            condition.wait()

    thread = start(wait)
    wait_until(lambda: [each for each in sight.snapshot().waits if each.thread == thread.ident], "")
    assert not any(deadlock.certain for deadlock in sight.deadlocks())
    with condition:
        condition.notify()
    join([thread])


@pytest.mark.usefixtures("_owners")
def test_an_identifier_that_is_used_again_is_no_holder():
    lock = golock.Lock()
    first = start(lock.acquire)
    join([first])
    second = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    assert sight.deadlocks() == ()  # even if the second has the identifier of the first
    lock.release()
    join([second])


@pytest.mark.usefixtures("_owners")
def test_a_wait_whose_thread_runs_a_handler_is_none():
    lock, seen = golock.Lock(), []

    def handle(*_):
        seen.append(waits_for(lock))
        lock.release()

    lock.acquire()
    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        lock.acquire()
    finally:
        signal.signal(signal.SIGALRM, former)
    assert seen == [[]]


def test_a_free_semaphore_needs_no_core(python, check):
    check(
        python(
            """
import golock
from golock import sight

sight.start("owners")
semaphore = golock.Semaphore()
for _ in range(100):
    semaphore.acquire()
    semaphore.release()
print(golock._golock.core()["loaded"])
"""
        ),
        "False\n" if os.environ.get("GOLOCK_FASTPATH") != "0" else "True\n",
    )
