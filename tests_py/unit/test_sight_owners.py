"""golock.sight: who holds, set, notified and made what."""

from __future__ import annotations

import os
import signal
import threading

import pytest

import golock
from golock import sight
from waiting import join, start, wait_until

pytestmark = pytest.mark.usefixtures("_owners")


@pytest.fixture
def _owners():
    sight.start("owners")
    yield
    sight.stop()


def seen(thing):
    """Return what a snapshot says about a primitive."""
    (found,) = [each for each in sight.snapshot().locks if each.id == id(thing)]
    return found


def holders(lock):
    """Return the identifier of the thread that holds it, in a list, if it is known."""
    holder = seen(lock).holder
    return [] if holder is None else [holder.identifier]


def waits_for(thing):
    return [wait for wait in sight.snapshot().waits if wait.lock.id == id(thing)]


def permits(semaphore):
    """Return how many permits each thread has, by its identifier."""
    all_permits = sight.snapshot().permits
    mine = [each for each in all_permits if each.lock.id == id(semaphore)]
    return {each.thread.identifier: each.count for each in mine}


def in_a_thread(work, *args):
    """Run it in another thread, and return the thread, which has ended."""
    thread = start(work, *args)
    join([thread])
    return thread


@pytest.mark.parametrize("make", [golock.Lock, golock.RLock])
class TestOwners:
    def test_a_holder_is_seen_while_it_holds(self, make):
        lock = make()
        assert holders(lock) == []
        with lock:
            held = seen(lock)
            assert (held.state, held.holder_known) == ("held", True)
            assert (held.holder.identifier, held.holder.name) == (
                threading.get_ident(),
                "MainThread",
            )
            assert held.held_for >= 0
            assert held.acquired_at[-1].function.endswith("test_a_holder_is_seen_while_it_holds")
            assert "with lock:" in str(held.acquired_at[-1])
            assert held.created_at.function == held.acquired_at[-1].function
        assert holders(lock) == []

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
            assert wait.lock.holder.identifier == threading.get_ident()
        acquired.wait()
        assert holders(lock) == [thread.ident]
        done.set()
        join([thread])
        assert holders(lock) == []

    def test_a_condition_takes_and_gives_it(self, make):
        condition = golock.Condition(lock := make())

        def wait():
            with condition:
                condition.wait()

        thread = start(wait)
        wait_until(lambda: waits_for(condition), "waits")
        assert holders(lock) == []
        with condition:
            condition.notify()
            assert holders(lock) == [threading.get_ident()]
        join([thread])
        assert holders(lock) == []

    def test_what_was_held_before_the_start_is_not_guessed(self, make):
        sight.start("waits")
        lock = make()
        with lock:
            sight.start("owners")
            known = seen(lock)
            assert known.state == "held"
            # An RLock knows its owner itself.
            assert holders(lock) == ([threading.get_ident()] if make is golock.RLock else [])
            assert (known.held_for, known.acquired_at) == (None, ())
        with lock:
            assert seen(lock).held_for is not None

    def test_what_was_recorded_before_a_stop_counts_no_more(self, make):
        lock = make()
        lock.acquire()
        sight.stop()
        lock.release()
        sight.start("owners")
        assert holders(lock) == []
        with lock:
            sight.stop()
            sight.start("owners")
            assert (seen(lock).held_for, seen(lock).acquired_at) == (None, ())

    def test_a_lock_that_goes_while_it_is_held(self, make):
        lock = make()
        lock.acquire()
        gone = id(lock)
        del lock
        assert gone not in [each.id for each in sight.snapshot().locks]

    def test_tries(self, make):
        lock = make()
        assert lock.acquire(False)
        assert len(holders(lock)) == 1
        lock.release()
        assert lock.acquire(timeout=1)
        assert len(holders(lock)) == 1
        lock.release()


def test_a_release_by_another_thread_is_remembered():
    lock = golock.Lock()
    lock.acquire()
    join([start(lock.release)])
    assert holders(lock) == []
    lock.acquire()
    thread = start(lock.acquire)
    wait_until(lambda: waits_for(lock), "waits")
    assert waits_for(lock)[0].lock.released_by_another
    lock.release()
    join([thread])


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
    holders = {lock.id: lock.holder for lock in sight.snapshot().locks}
    assert holders[id(mine)].identifier == threading.get_ident()
    assert holders[id(other)].kind == "lost"
    os._exit(0)
print(os.waitpid(child, 0)[1])
done.set()
thread.join()
"""
        ),
        "0\n",
    )


@pytest.mark.parametrize("make", [golock.Lock, golock.RLock])
def test_a_handler_that_raises_ends_a_wait_without_the_lock(make):
    lock, owned, done = make(), threading.Event(), threading.Event()

    def own():
        with lock:
            owned.set()
            done.wait()

    def handle(*_):
        if waits_for(lock):
            raise ZeroDivisionError
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # it came before the wait

    owner = start(own)
    owned.wait()
    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(ZeroDivisionError):
            lock.acquire()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert holders(lock) == [owner.ident]
    done.set()
    join([owner])
    assert holders(lock) == []


def test_a_level_that_is_left_forgets_the_holders():
    lock = golock.Lock()
    lock.acquire()
    sight.start("waits")
    assert holders(lock) == []
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


def test_an_rlock_knows_its_owner_at_waits():
    sight.start("waits")
    lock, taken, done = golock.RLock(), threading.Event(), threading.Event()

    def own():
        with lock, lock:
            taken.set()
            done.wait()

    owner = start(own)
    taken.wait()
    assert holders(lock) == [owner.ident]
    assert (seen(lock).value, seen(lock).held_for) == (2, None)
    done.set()
    join([owner])
    assert (seen(lock).state, holders(lock)) == ("free", [])


def test_permits_are_those_of_the_threads_that_took_them():
    semaphore = golock.Semaphore(5)
    semaphore.acquire()
    assert semaphore.acquire(timeout=1)
    assert semaphore.acquire(False)
    assert permits(semaphore) == {threading.get_ident(): 3}
    taken, done = threading.Event(), threading.Event()

    def take():
        with semaphore:
            taken.set()
            done.wait()

    thread = start(take)
    taken.wait()
    assert permits(semaphore) == {threading.get_ident(): 3, thread.ident: 1}
    (mine,) = [
        each
        for each in sight.snapshot().permits
        if each.lock.id == id(semaphore) and each.count == 3
    ]
    assert mine.acquired_at[-1].function.startswith("test_permits_are_those")
    assert mine.held_for >= 0
    done.set()
    join([thread])
    semaphore.release(2)
    assert permits(semaphore) == {threading.get_ident(): 1}
    semaphore.release()
    assert permits(semaphore) == {}
    assert (seen(semaphore).value, seen(semaphore).released_by_another) == (5, False)


def test_a_permit_that_was_waited_for():
    semaphore = golock.BoundedSemaphore(1)
    done = threading.Event()

    def take():
        with semaphore:
            done.wait()

    with semaphore:
        thread = start(take)
        wait_until(lambda: waits_for(semaphore), "waits")
        assert seen(semaphore).state == "exhausted"
    wait_until(lambda: permits(semaphore) == {thread.ident: 1}, "has it")
    done.set()
    join([thread])
    assert permits(semaphore) == {}


def test_a_release_by_a_thread_without_permits_takes_the_oldest():
    semaphore = golock.Semaphore(3)
    first, second = golock.Event(), golock.Event()
    done = threading.Event()

    def take(taken):
        semaphore.acquire()
        taken.set()
        done.wait()

    older = start(take, first)
    first.wait()
    younger = start(take, second)
    second.wait()
    semaphore.release()
    assert permits(semaphore) == {younger.ident: 1}
    assert seen(semaphore).released_by_another
    done.set()
    join([older, younger])


def test_a_release_that_fails_gives_nothing_back():
    semaphore = golock.BoundedSemaphore(2)
    semaphore.acquire()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release(2)
    assert permits(semaphore) == {threading.get_ident(): 1}
    assert not seen(semaphore).released_by_another


def test_permits_that_were_taken_before_the_start_are_unknown():
    sight.start("waits")
    semaphore = golock.Semaphore(2)
    semaphore.acquire()
    sight.start("owners")
    assert permits(semaphore) == {}
    semaphore.acquire()
    sight.start("waits")
    sight.start("owners")
    assert permits(semaphore) == {}


def test_a_semaphore_that_goes_has_no_permits():
    semaphore = golock.Semaphore(2)
    semaphore.acquire()
    gone = id(semaphore)
    assert gone in [each.lock.id for each in sight.snapshot().permits]
    del semaphore
    assert gone not in [each.lock.id for each in sight.snapshot().permits]


def test_an_invalid_timeout_is_not_read_if_there_is_a_permit():
    semaphore = golock.Semaphore()
    assert semaphore.acquire(timeout="soon")


def test_who_set_an_event():
    event = golock.Event()
    assert (seen(event).state, seen(event).last_set_by) == ("clear", None)
    event.set()
    assert seen(event).last_set_by.identifier == threading.get_ident()
    event.clear()
    thread = in_a_thread(event.set)
    known = seen(event)
    assert (known.state, known.last_ago >= 0) == ("set", True)
    assert known.last_set_by.identifier in (thread.ident, 0)  # its record may be gone
    assert not known.released_by_another


def test_who_notified_a_condition():
    condition = golock.Condition()
    assert seen(condition).last_notified_by is None
    with condition:
        condition.notify_all()
    known = seen(condition)
    assert known.last_notified_by.identifier == threading.get_ident()
    assert known.last_at[-1].function == "test_who_notified_a_condition"


def test_who_is_missing_at_a_barrier():
    barrier = golock.Barrier(3)
    assert (seen(barrier).parties, seen(barrier).missing) == (3, 3)
    threads = [start(barrier.wait), start(barrier.wait)]
    wait_until(lambda: len(waits_for(barrier)) == 2, "wait")
    known = seen(barrier)
    assert known.missing == 1
    assert {each.identifier for each in known.waiting} == {thread.ident for thread in threads}
    barrier.wait()
    join(threads)
    assert seen(barrier).missing == 3


def make_one(kind):
    return kind()  # here


KINDS = (
    golock.Lock,
    golock.RLock,
    golock.Condition,
    golock.Semaphore,
    golock.BoundedSemaphore,
    golock.Event,
    lambda: golock.Barrier(2),
)


@pytest.mark.parametrize("level", ["waits", "owners", "order"])
@pytest.mark.parametrize("kind", KINDS)
def test_where_a_primitive_was_made(kind, level):
    sight.start(level)
    made = make_one(kind)
    frame = seen(made).created_at
    assert frame.file == __file__
    assert ("# here" in str(frame)) or "lambda" in frame.function


def test_the_lock_within_a_condition_was_made_where_the_condition_was():
    condition = make_one(golock.Condition)
    with condition:
        made = seen(condition).created_at
        held = [each for each in sight.snapshot().locks if each.kind == "RLock" and each.holder]
        assert made in [each.created_at for each in held]


def test_locks_of_the_standard_library_were_made_in_it(python, check):
    check(
        python(
            """
import os
import golock
import golock.sight
golock.install()
golock.sight.start()
import queue
made = queue.Queue()
places = {(lock.kind, os.path.basename(lock.created_at.file), lock.created_at.function)
          for lock in golock.sight.snapshot().locks}
print(sorted(place[:2] for place in places if place[1] == "queue.py"))
"""
        ),
        "[('Condition', 'queue.py'), ('Lock', 'queue.py')]\n",
    )


def test_what_was_made_before_the_start_was_made_nowhere():
    sight.stop()
    lock = golock.Lock()
    sight.start("owners")
    with lock:
        assert seen(lock).created_at is None
        assert seen(lock).name == f"Lock at {id(lock):#x}"


def test_names_and_places_outlast_a_stop():
    lock = golock.Lock()
    sight.name(lock, "the table")
    made = seen(lock).created_at
    sight.stop()
    sight.start("waits")
    assert (seen(lock).name, seen(lock).created_at) == ("the table", made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_given_while_sight_is_off(kind):
    sight.stop()
    made = kind()
    sight.name(made, "Tür 1")
    assert seen(made).name == "Tür 1"
    sight.name(made, "Tür 2")
    assert seen(made).name == "Tür 2"
    gone = id(made)
    del made
    assert gone not in [each.id for each in sight.snapshot().locks]


@pytest.mark.parametrize("thing", [object(), threading.Thread(), None, golock.Lock])
def test_only_primitives_have_names(thing):
    with pytest.raises(TypeError, match="only golock's primitives can be named"):
        sight.name(thing, "a name")


def test_opened_objects_have_no_names():
    event = golock.Event()
    vars(event)
    with pytest.raises(TypeError, match="whose internals were accessed"):
        sight.name(event, "a name")


@pytest.mark.parametrize("name", [1, None, b"bytes"])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError):
        sight.name(golock.Lock(), name)


def test_a_derived_class_has_a_name():
    class Gate(golock.Event):
        pass

    gate = Gate()
    sight.name(gate, "gate")
    assert seen(gate).name == "gate"


def test_a_lock_that_is_taken_in_turn_at_two_lines_has_the_last():
    lock = golock.Lock()
    lines = []
    for _ in range(3):
        with lock:
            lines.append(seen(lock).acquired_at[-1].line)
        with lock:
            lines.append(seen(lock).acquired_at[-1].line)
    assert lines == [lines[0], lines[0] + 2] * 3


def test_lines_of_code_that_is_gone_are_not_taken_for_others():
    lock = golock.Lock()
    for number in range(200):
        space = {"lock": lock}
        exec(compile(f"def take_{number}(): lock.acquire()", f"file {number}", "exec"), space)
        space[f"take_{number}"]()
        assert seen(lock).acquired_at[-1].file == f"file {number}"
        lock.release()
        if number % 50 == 49:
            sight.stop()
            sight.start("owners")


def test_a_fork_loses_what_other_threads_hold(python, check):
    check(
        python(
            """
import os
import threading
import warnings
import golock
from golock import sight

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside other threads

sight.start("owners")
lock, semaphore, event = golock.RLock(), golock.Semaphore(3), golock.Event()
early = golock.RLock()
taken, done = threading.Event(), threading.Event()

def hold():
    with lock, semaphore:
        event.set()
        taken.set()
        done.wait()

def hold_early():
    with early:
        taken.set()
        done.wait()

sight.start("waits")
threads = [threading.Thread(target=hold_early)]
threads[0].start()
taken.wait()
taken.clear()
sight.start("owners")
threads.append(threading.Thread(target=hold))
threads[1].start()
taken.wait()
semaphore.acquire()
child = os.fork()
if child == 0:
    now = sight.snapshot()
    known = {each.id: each for each in now.locks}
    assert known[id(lock)].holder.kind == "lost", known[id(lock)]
    assert known[id(early)].holder.kind == "lost", known[id(early)]
    assert known[id(event)].last_set_by.kind == "lost"
    kinds = sorted(each.thread.kind for each in now.permits)
    assert kinds == ["Python", "lost"], kinds
    lock._at_fork_reinit()
    with lock:
        (held,) = [each for each in sight.snapshot().locks if each.id == id(lock)]
        assert held.holder.identifier == threading.get_ident()
    os._exit(0)
print(os.waitpid(child, 0)[1])
done.set()
for thread in threads:
    thread.join()
"""
        ),
        "0\n",
    )


def test_a_known_lock_takes_64_bytes(python, check):
    check(
        python(
            """
import resource
import golock
from golock import sight

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

locks = [golock.Lock() for _ in range(100_000)]
sight.start("owners")
with locks[0]:
    pass
before = resident()
for lock in locks:
    with lock:
        pass
each = (resident() - before) / len(locks)
print(each < 64 * 1.05, each > 32, len(sight.snapshot().locks) >= len(locks))
del lock, locks
left = len(sight.snapshot().locks)
before = resident()
for _ in range(200_000):
    golock.Lock()
print(left < 100, resident() - before < 1_000_000)
"""
        ),
        "True True True\nTrue True\n",
    )
