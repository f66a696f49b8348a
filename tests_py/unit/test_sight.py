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
from waiting import asleep_on, join, start, wait_until

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture(autouse=True)
def _sight():
    sight.start(on_deadlock=None)
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
    "Lock": lambda: acquired(golock.Lock()),
    "RLock": owned_elsewhere,
    "Semaphore": emptied,
    "Event": unset,
    "Condition": unnotified,
    "Barrier": half_full,
}


def waits_for(thing):
    return [wait for wait in sight.snapshot().waits if wait.lock.id == id(thing)]


def waits_of(thread):
    return [wait for wait in sight.snapshot().waits if wait.thread.identifier == thread.ident]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_is_seen_while_it_lasts(kind):
    thing, wait, end = KINDS[kind]()
    assert waits_for(thing) == []
    before = time.monotonic()
    thread = start(wait)
    wait_until(lambda: waits_for(thing), "waits")
    (seen,) = waits_for(thing)
    assert (seen.thread.identifier, seen.thread.name) == (thread.ident, thread.name)
    assert (seen.thread.kind, seen.thread.native_id) == ("Python", thread.native_id)
    assert (seen.lock.kind, seen.limited) == (kind, False)
    assert 0 <= seen.seconds <= time.monotonic() - before
    functions = [frame.function.rpartition(".")[2] for frame in seen.stack]
    assert "run" in functions
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
    assert [wait.lock.kind for wait in waits_of(thread)] == ["RLock"]
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
    other = golock.Lock()
    assert other is not lock
    with pytest.raises(TypeError):
        sight.name(object(), "a thing")


def test_nothing_is_recorded_when_off():
    sight.stop()
    assert sight.level() == "off"
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: asleep_on(lock, thread), "waits")
    assert waits_for(lock) == []
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


@pytest.mark.parametrize("what", ["period", "threshold"])
@pytest.mark.parametrize(
    ("seconds", "kind"),
    [(-1e-9, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError)],
)
def test_times_that_are_none_change_nothing(what, seconds, kind):
    with pytest.raises(kind, match=f"the {what} is not a number of seconds"):
        sight.start("owners", **{what: seconds})
    assert sight.level() == "waits"


def test_a_threshold_of_nothing():
    with pytest.raises(ValueError, match="the threshold is not positive: 0"):
        sight.start(threshold=0)


def test_a_profile_at_a_level_that_does_not_exist():
    with pytest.raises(ValueError, match="no such level: 'all'"):
        sight.profile(level="all")


ENVIRONMENT = """
import sys, golock
import golock.sight
print(golock.sight.level())
del sys.modules["golock"], sys.modules["golock.sight"]
golock.sight.start("waits")
import golock.sight
print(golock.sight.level())
"""


@pytest.mark.parametrize("value", ["waits", "owners", "order", "off", ""])
def test_environment(python, check, value):
    """Only the first import follows it."""
    environment = {**os.environ, "GOLOCK_SIGHT": value}
    check(python(ENVIRONMENT, env=environment), f"{value or 'off'}\nwaits\n")


def test_environment_with_a_level_that_does_not_exist(python):
    done = python(ENVIRONMENT, env={**os.environ, "GOLOCK_SIGHT": "everything"})
    assert (done.returncode, done.stdout) == (0, "off\nwaits\n")
    levels = "off, waits, owners, order"
    problem = f"no such level: 'everything'; the levels are {levels}"
    assert done.stderr == f"golock: GOLOCK_SIGHT=everything: {problem}\n"


def test_a_standard_library_whose_name_is_not_utf_8(python, check):
    code = """
import os
os.__file__ = os.fsdecode(b"/\\xff/os.py")
from golock import sight
sight.start()
print(sight.level())
"""
    check(python(code), "waits\n")


def test_environment_of_two_lines(python):
    done = python(ENVIRONMENT, env={**os.environ, "GOLOCK_SIGHT": "own\ners"})
    assert done.stdout == "off\nwaits\n"
    assert done.stderr.startswith("golock: GOLOCK_SIGHT=own ers: no such level: ")
    assert done.stderr.count("\n") == 1


def test_golock_does_not_import_sight(python, check):
    code = "import sys, golock; print([each for each in sys.modules if 'golock.sight' in each])"
    environment = {name: value for name, value in os.environ.items() if name != "GOLOCK_SIGHT"}
    check(python(code, env=environment), "[]\n")


def test_starting_does_not_import_the_model(python, check):
    """Its modules would hide those of the same name beside the program."""
    code = """
    import sys, golock.sight
    golock.sight.start("owners")
    golock.sight.listen()
    print({"dataclasses", "typing", "socket", "tempfile", "json"} & set(sys.modules))
    print(golock.sight.Lock.__name__, "dataclasses" in sys.modules)
    """
    check(python(code), "set()\nLock True\n")


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sight.nothing


def test_json():
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    document = json.loads(json.dumps(sight.snapshot().as_json()))
    assert [wait["lock"] for wait in document["waits"]].count(id(lock)) == 1
    assert id(lock) in [each["id"] for each in document["locks"]]
    lock.release()
    join([thread])


CIRCLE = """
import signal
import sys
import threading
import golock
from golock import sight

members, timeout, kind, level = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
sight.start(level, on_deadlock=None)
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
print(sorted(wait.thread.name for wait in deadlock.waits), deadlock.certain)
print(all(
    locks[(int(wait.thread.name.split()[1]) + 1) % members] is next(
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
    lines = members * (1 + ("owners" in known))
    check(
        python(CIRCLE, str(members), str(timeout), *known),
        f"{workers} {timeout == -1}\nTrue\n{members} {lines}\n",
    )


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
    assert len(sight.snapshot().waits) == 0
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
        sight.start(sight.LEVELS[turn % 4])
        sight.snapshot()
    ended.set()
    join(threads)
    assert all(counts)
    assert waits_for(lock) == []


@pytest.fixture
def _owners():
    sight.start("owners")


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
    assert [wait.thread.identifier for wait in deadlock.waits] == [thread.ident]
    assert not deadlock.certain  # another thread may release it, as here
    assert str(deadlock).startswith("Possible deadlock of a thread with itself:")
    lock.release()
    ended.wait()


@pytest.mark.usefixtures("_owners")
def test_waits_of_the_interpreters_own_condition_are_no_deadlock():
    condition = golock.Condition()
    vars(condition)  # opens it

    def wait():
        with condition:
            condition.wait()

    thread = start(wait)
    wait_until(lambda: waits_of(thread), "waits")
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
        seen.extend(waits_for(lock))
        if seen:
            lock.release()
        else:  # it came before the wait
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    lock.acquire()
    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        lock.acquire()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert [wait.is_suspended for wait in seen] == [True]
