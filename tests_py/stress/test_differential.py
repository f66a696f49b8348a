"""The interpreter's primitives and golock's, driven by the same random calls from several threads.

Each of the two worlds has its own locks and threads. One thread of each world makes a call, or
several at once do, and the answers are compared. Only one thing may differ: which waiter a
release serves. The interpreter promises no order, golock promises the order of arrival. The
waiters of a lock are interchangeable, so the worlds stay comparable.

Nothing depends on a pause. golock's thread counts as waiting when the kernel says that it sleeps on
the lock's word. The interpreter's thread must only give no answer before a release.
"""

from __future__ import annotations

import _thread
import copy
import pickle
import queue
import re
import threading
import time
import weakref
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import golock
from waiting import FUTEX, waiters

THREADS, LOCKS = 4, 3
LIMIT = 60  # seconds until a thread that does not answer counts as hanging
totals = {"steps": 0, "calls": 0}


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __repr__(self):
        return f"Index({self.value})"


class Number(Index):
    __index__ = None

    def __float__(self):
        return self.value


class Truth(Index):
    __index__ = None

    def __bool__(self):
        return self.value


class Raises:
    def refuse(self, *_arguments):
        raise ZeroDivisionError("refused")

    __index__ = __bool__ = __float__ = refuse

    def __repr__(self):
        return "Raises()"


class Float(float):
    pass


class Int(int):
    pass


# SHORT ones expire soon, LONG ones wait for ever, REFUSED ones raise.
SHORT = [0, 0.0, -0.0, False, 1e-9, 0.0005, Float(0.0005), Int(0), Index(0), Number(0.0005)]
SHORT += [Decimal("0.0005"), Fraction(1, 2000)]
LONG = [-1, -1.0, Int(-1), Float(-1), Index(-1), -0.9999999999, 9e9, 1_000_000, 9223372036]
REFUSED = [None, "1", b"1", (), [], {}, object, 1j, Raises(), float("nan"), float("inf")]
REFUSED += [-float("inf"), -2, -0.5, 1e300, -1e300, 2**31, 2**63, -(2**63), 2**200, -(2**200)]
BLOCKING = [True, False, None, 0, 1, -1, 2**31, -(2**31) - 1, 2**63, 2**200, 0.0, 1.0, 0.5, "", "x"]
BLOCKING += [(), [0], Truth(True), Truth(False), Index(0), Index(1), Raises(), Int(1), Float(0)]

timeouts = st.sampled_from([*SHORT, *LONG, *REFUSED])
blockings = st.sampled_from([True] * 8 + BLOCKING)
arguments = st.one_of(
    st.tuples(st.just(()), st.just({})),
    st.tuples(st.tuples(blockings), st.just({})),
    st.tuples(st.tuples(blockings, timeouts), st.just({})),
    st.tuples(
        st.just(()),
        st.fixed_dictionaries({}, optional={"blocking": blockings, "timeout": timeouts}),
    ),
    st.tuples(st.tuples(blockings), st.fixed_dictionaries({"timeout": timeouts})),
    st.sampled_from(
        [
            ((True, 0, 0), {}),
            ((), {"patience": 1}),
            ((True,), {"blocking": True}),
            ((True, 0), {"timeout": 0}),
            ((True, 0), {"patience": 0}),
        ]
    ),
)


def is_short(args, kwargs):
    timeout = kwargs.get("timeout", args[1] if len(args) > 1 else -1)
    return any(timeout is short for short in SHORT)


# golock uses the wording of the newest interpreter everywhere.
OLDER_WORDINGS = (
    (r"timestamp out of range for platform time_t", "timestamp out of range for C PyTime_t"),
    (r"timestamp too large to convert to C _?PyTime_t", "timestamp out of range for C PyTime_t"),
    (r"timeout value must be positive", "timeout value must be a non-negative number"),
    (
        r"('\w+') is an invalid keyword argument for acquire\(\)",
        r"acquire() got an unexpected keyword argument \1",
    ),
    # What is no number at all is worded differently by each.
    (r"'NoneType' object is not callable", "not a number"),
    (r"'[\w.]+' object cannot be interpreted as an integer( or float)?", "not a number"),
)


class HangsError(AssertionError):
    pass


def answer_of(call, lock, names):
    """Return the outcome of the call, in words that do not depend on the lock."""
    try:
        result = call(lock)
    except Exception as error:
        message = str(error)
        for name in names:
            message = message.replace(name, "LOCK")
        for older, newest in OLDER_WORDINGS:
            message = re.sub(older, newest, message)
        return type(error).__name__, message
    if result is lock:
        return "returns", "the lock"
    if isinstance(result, str):
        result = re.sub(r"0x[0-9a-f]+", "ADDRESS", result)
        for name in names:
            result = result.replace(name, "LOCK")
    return "returns", type(result).__name__, repr(result)


class Worker:
    def __init__(self, names):
        self.names = names
        self.calls = queue.SimpleQueue()
        self.answer = None
        self.waits_for = None
        self.native_id = None
        self.ready = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()
        self.ready.wait()

    def run(self):
        self.native_id = threading.get_native_id()
        self.ready.set()
        while True:
            item = self.calls.get()
            if item is None:
                return
            call, lock, gate = item
            if gate is not None:
                gate.wait()
            self.answer = answer_of(call, lock, self.names)
            del call, lock, gate, item

    def start(self, call, lock, gate=None):
        self.answer = None
        self.calls.put((call, lock, gate))

    def sleeps_on(self, lock):
        """Return whether the thread sleeps in the kernel on a word inside the lock."""
        try:
            syscall = Path(f"/proc/self/task/{self.native_id}/syscall").read_text().split()
        except OSError:
            return False
        return syscall[0] == FUTEX and 0 <= int(syscall[1], 0) - id(lock) < lock.__sizeof__()


def patiently(condition, what):
    """Wait until the condition holds; raise HangsError after LIMIT seconds."""
    pause, give_up = 1e-6, time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > give_up:
            raise HangsError(f"not within {LIMIT} s: {what}")
        time.sleep(pause)
        pause = min(2 * pause, 0.001)


class World:
    def __init__(self, allocate, names, shows_waiters):
        self.allocate = allocate
        self.shows_waiters = shows_waiters
        self.workers = [Worker(names) for _ in range(THREADS)]
        self.new_locks()

    def new_locks(self):
        self.locks = [self.allocate() for _ in range(LOCKS)]
        self.waiting = [[] for _ in range(LOCKS)]  # groups that arrived together, in order

    def idle(self):
        busy = [worker for groups in self.waiting for group in groups for worker in group]
        return [worker for worker in self.workers if worker not in busy]

    def waiters(self, at):
        return [worker for group in self.waiting[at] for worker in group]

    def none_has_answered(self):
        return all(worker.answer is None for at in range(LOCKS) for worker in self.waiters(at))

    def served(self, at):
        """Return the answer of the waiter that a release served; exactly one must have one."""
        waiters = self.waiters(at)
        patiently(
            lambda: any(worker.answer is not None for worker in waiters), "a waiter is served"
        )
        answered = [worker for worker in waiters if worker.answer is not None]
        assert len(answered) == 1, "more than one waiter was served"
        if self.shows_waiters:
            assert answered[0] in self.waiting[at][0], "one that came later was served first"
        for group in self.waiting[at]:
            if answered[0] in group:
                group.remove(answered[0])
        self.waiting[at] = [group for group in self.waiting[at] if group]
        return answered[0].answer

    def end(self):
        for worker in self.workers:
            worker.calls.put(None)


class Comparison(RuleBasedStateMachine):
    worlds = None

    def __init__(self):
        super().__init__()
        cls = type(self)
        if cls.worlds is None:
            cls.worlds = (
                World(golock.allocate_lock, ("_thread.lock",), True),
                World(_thread.allocate_lock, ("_thread.lock",), False),
            )
        self.golock, self.thread = cls.worlds
        for world in cls.worlds:
            world.new_locks()
        self.threshold = golock.get_handoff()

    def teardown(self):
        """Release all waiters; if that fails, abandon the threads and their worlds."""
        golock.set_handoff(self.threshold)
        try:
            for world in type(self).worlds:
                for at in range(LOCKS):
                    while world.waiting[at]:
                        world.locks[at].release()
                        world.served(at)
        except Exception:
            type(self).worlds = None
            raise

    def compare(self, call, at, *, may_wait=False):
        """Make the call in both worlds, and return the answer, or None if it waits."""
        totals["calls"] += 1
        ours, theirs = (world.idle()[0] for world in type(self).worlds)
        lock = self.golock.locks[at]
        ours.start(call, lock)
        theirs.start(call, self.thread.locks[at])
        patiently(
            lambda: ours.answer is not None or (may_wait and ours.sleeps_on(lock)),
            "golock's answer, or its wait",
        )
        if ours.answer is None:
            self.golock.waiting[at].append([ours])
            self.thread.waiting[at].append([theirs])
        else:
            patiently(lambda: theirs.answer is not None, "the interpreter's answer")
        assert ours.answer == theirs.answer
        self.check()
        return ours.answer

    def check(self):
        totals["steps"] += 1
        for world in type(self).worlds:
            assert world.none_has_answered(), "a waiter went on without a release"
        assert [lock.locked() for lock in self.golock.locks] == [
            lock.locked() for lock in self.thread.locks
        ]

    def pass_on(self, at):
        """After a release: one waiter of each world is served, if there is one."""
        if self.golock.waiting[at]:
            assert self.golock.served(at) == self.thread.served(at)
        self.check()

    def has_idle(self, number):
        return len(self.golock.idle()) >= number

    locks = st.integers(0, LOCKS - 1)

    @initialize(threshold=st.sampled_from([0, 0.001]))
    def set_handoff(self, threshold):
        golock.set_handoff(threshold)

    @rule(
        at=locks,
        arguments=arguments,
        name=st.sampled_from(["acquire", "acquire_lock", "__enter__"]),
    )
    def acquire(self, at, arguments, name):
        args, kwargs = arguments
        may_wait = not is_short(args, kwargs)
        if may_wait and not self.has_idle(2):
            args, kwargs, may_wait = (False,), {}, False
            name = "acquire"
        self.compare(lambda lock: getattr(lock, name)(*args, **kwargs), at, may_wait=may_wait)

    @precondition(lambda self: self.has_idle(2))
    @rule(at=locks, timeout=st.sampled_from([None, 1_000_000]))
    def wait(self, at, timeout):
        call = (
            (lambda lock: lock.acquire())
            if timeout is None
            else (lambda lock: lock.acquire(timeout=timeout))
        )
        self.compare(call, at, may_wait=True)

    @rule(
        at=locks,
        name=st.sampled_from(["release", "release_lock", "__exit__"]),
        arguments=st.sampled_from([(), (None, None, None)]),
    )
    def release(self, at, name, arguments):
        args = arguments if name == "__exit__" else ()
        answer = self.compare_release(lambda lock: getattr(lock, name)(*args), at)
        if answer[0] == "returns":
            self.pass_on(at)

    def compare_release(self, call, at):
        """Like compare, for a call after which a waiter may be served."""
        totals["calls"] += 1
        ours, theirs = (world.idle()[0] for world in type(self).worlds)
        ours.start(call, self.golock.locks[at])
        theirs.start(call, self.thread.locks[at])
        for worker in (ours, theirs):
            patiently(lambda worker=worker: worker.answer is not None, "the answer to a release")
        assert ours.answer == theirs.answer
        return ours.answer

    @rule(at=locks, number=st.integers(2, THREADS), blocking=st.booleans())
    def race_to_acquire(self, at, number, blocking):
        """Several acquire at once: one gets a free lock, the others wait or give up."""
        number = min(number, len(self.golock.idle()) - 1)
        answers = []
        for world in type(self).worlds:
            group, lock = world.idle()[:number], world.locks[at]
            free, gate = not lock.locked(), threading.Event()
            for worker in group:
                worker.start(lambda lock: lock.acquire(blocking), lock, gate)
            gate.set()
            if not blocking:
                patiently(lambda group=group: all(w.answer for w in group), "all have their answer")
            elif free and group:
                patiently(lambda group=group: any(w.answer for w in group), "one has the lock")
            answers.append(sorted(worker.answer for worker in group if worker.answer))
            waiting = [worker for worker in group if worker.answer is None]
            if waiting:
                world.waiting[at].append(waiting)
            if world.shows_waiters:
                for worker in waiting:
                    patiently(lambda w=worker, lock=lock: w.sleeps_on(lock), "the others wait")
        totals["calls"] += number
        assert answers[0] == answers[1]
        self.check()

    @precondition(lambda self: self.has_idle(2))
    @rule(at=locks, number=st.integers(2, THREADS))
    def race_to_release(self, at, number):
        """Several release at once: one frees a held lock, the others are refused."""
        if self.golock.waiting[at]:
            return
        answers = []
        for world in type(self).worlds:
            group, gate = world.idle()[:number], threading.Event()
            for worker in group:
                worker.start(lambda lock: lock.release(), world.locks[at], gate)
            gate.set()
            patiently(lambda group=group: all(w.answer for w in group), "all have their answer")
            answers.append(sorted(worker.answer for worker in group))
        totals["calls"] += number
        assert answers[0] == answers[1]
        self.check()

    @precondition(lambda self: self.has_idle(1))
    @rule(at=locks)
    def overtake(self, at):
        """A release and a try: with a threshold of 0 no newcomer overtakes golock's waiters."""
        waited = bool(self.golock.waiting[at])

        def call(lock):
            if not lock.locked():
                return "free"
            lock.release()
            if overtaken := lock.acquire(False):
                lock.release()
            return overtaken

        for world in type(self).worlds:
            worker = world.idle()[0]
            worker.start(call, world.locks[at])
            patiently(lambda worker=worker: worker.answer is not None, "the answer of an overtaker")
            if world.shows_waiters and waited and golock.get_handoff() == 0:
                assert worker.answer == ("returns", "bool", "False")
        self.pass_on(at)

    @rule(at=locks, raising=st.booleans())
    def context_manager(self, at, raising):
        if self.golock.locks[at].locked():
            return

        def call(lock):
            with lock as entered:
                if raising:
                    raise KeyError("inside")
            return entered

        self.compare(call, at)

    @rule(at=locks)
    def reinitialize(self, at):
        if not self.golock.waiting[at]:
            self.compare(lambda lock: lock._at_fork_reinit(), at)

    @rule(
        at=locks,
        call=st.sampled_from(
            [
                lambda lock: lock.locked(),
                lambda lock: lock.locked_lock(),
                lambda lock: lock.locked(1),
                lambda lock: lock.release(1),
                repr,
                lambda lock: weakref.ref(lock)() is lock,
                copy.copy,
                copy.deepcopy,
                pickle.dumps,
                lambda lock: lock.__dict__,
                lambda lock: setattr(lock, "name", 1),
                lambda lock: hash(lock) == hash(lock),
                lambda lock: (lock == lock, lock != lock),  # noqa: PLR0124
                lambda lock: lock < lock,  # noqa: PLR0124
                lambda lock: isinstance(lock, type(lock)),
                bool,
                lambda lock: type("Sub", (type(lock),), {}),
            ]
        ),
    )
    def look(self, at, call):
        self.compare(call, at)


class Side:
    """One primitive, golock's or the interpreter's, and the threads that wait at it."""

    def __init__(self, threading_, kind, size):
        self.kind = kind
        make = {"Condition": threading_.Condition, "Event": threading_.Event}
        make["Semaphore"] = lambda: threading_.Semaphore(size)
        make["BoundedSemaphore"] = lambda: threading_.BoundedSemaphore(size + 1)
        make["Barrier"] = lambda: threading_.Barrier(size + 2, self.act)
        self.object = make[kind]()
        self.answers = queue.SimpleQueue()
        self.acts, self.fails = 0, False
        self.waiting = 0

    def act(self):
        self.acts += 1
        if self.fails:
            raise ZeroDivisionError

    def call(self, call):
        try:
            return "returns", call(self.object)
        except Exception as error:
            return "raises", type(error).__name__

    def with_lock(self, call):
        with self.object:
            return call(self.object)

    def wait(self, call):
        """Start a thread whose call waits, and wait until it does."""
        self.waiting += 1
        thread = threading.Thread(target=lambda: self.answers.put(self.call(call)), daemon=True)
        thread.start()
        patiently(lambda: self.waits(thread), "the thread waits")
        assert self.answers.empty(), "a thread went on at once"

    def waits(self, thread):
        if self.kind == "Barrier":
            return self.object.n_waiting == self.waiting
        if self.kind == "Condition":
            return waiters(self.object) == self.waiting
        if isinstance(self.object, golock.Event | golock.Semaphore):
            call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()
            return call[0] == FUTEX and int(call[4], 16) == 0  # so not for the GIL
        return len(self.object._cond._waiters) == self.waiting

    def returned(self, number):
        """Wait until that many waiters have returned; return their answers, sorted."""
        self.waiting -= number
        return sorted(str(self.answers.get(timeout=LIMIT)) for _ in range(number))

    def look(self):
        names = {"Condition": "_is_owned", "Event": "is_set"}
        shown = [getattr(self.object, names[self.kind])()] if self.kind in names else []
        for name in ("_value", "n_waiting", "broken", "parties"):
            shown += [getattr(self.object, name, None)]
        return [*shown, self.acts, self.answers.empty()]


def of_kind(*kinds):
    return precondition(lambda self: getattr(self, "kind", None) in kinds)


class FamilyComparison(RuleBasedStateMachine):
    """Compares a primitive of golock's with the interpreter's; each wait has its own thread."""

    @initialize(
        kind=st.sampled_from(["Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"]),
        size=st.integers(0, 3),
    )
    def begin(self, kind, size):
        self.kind, self.size = kind, size
        self.sides = [Side(module, kind, size) for module in (golock, threading)]

    def same(self, do):
        totals["calls"] += 1
        ours, theirs = map(do, self.sides)
        assert ours == theirs
        assert self.sides[0].look() == self.sides[1].look()
        totals["steps"] += 1

    def waiting(self):
        return self.sides[0].waiting

    @of_kind("Semaphore", "BoundedSemaphore")
    @rule(timeout=st.sampled_from([0, -1, 0.0005, "no", None]))
    def acquire(self, timeout):
        if self.sides[1].object._value == 0 and timeout is None:
            if self.waiting() < THREADS:
                self.same(lambda side: side.wait(lambda it: it.acquire()))
        else:
            self.same(lambda side: side.call(lambda it: it.acquire(timeout=timeout)))

    @of_kind("Semaphore", "BoundedSemaphore")
    @rule(n=st.sampled_from([1, 1, 2, 3, 0, -1]))
    def release(self, n):
        self.same_release(lambda it: it.release(n), n)

    def same_release(self, call, n):
        """Compare a call that releases n waiters unless it raises."""
        answers = [side.call(call) for side in self.sides]
        assert answers[0] == answers[1]
        number = min(max(n, 0), self.waiting()) if answers[0][0] == "returns" else 0
        self.same(lambda side: side.returned(number))

    @of_kind("Event")
    @rule(timeout=st.sampled_from([0, -1, 0.0005, None, None]))
    def wait_for_event(self, timeout):
        if timeout is None and not self.sides[1].object.is_set():
            if self.waiting() < THREADS:
                self.same(lambda side: side.wait(lambda it: it.wait()))
        else:
            self.same(lambda side: side.call(lambda it: it.wait(timeout)))

    @of_kind("Event")
    @rule(clears=st.booleans())
    def set_event(self, clears):
        call = (lambda it: (it.set(), it.clear())) if clears else lambda o: o.set()
        self.same_release(call, self.waiting())

    @of_kind("Event")
    @rule()
    def clear_event(self):
        self.same(lambda side: side.call(lambda it: it.clear()))

    @of_kind("Condition")
    @rule(timeout=st.sampled_from([0, -1, 0.0005, None, None, None]), holds=st.booleans())
    def wait_at_condition(self, timeout, holds):
        def wait(side):
            return lambda _: side.with_lock(lambda it: it.wait(timeout))

        if not holds:
            self.same(lambda side: side.call(lambda it: it.wait(timeout)))
        elif timeout is not None:
            self.same(lambda side: side.call(wait(side)))
        elif self.waiting() < THREADS:
            self.same(lambda side: side.wait(wait(side)))

    @of_kind("Condition")
    @rule(n=st.sampled_from([0, 1, 1, 2, 5]), everyone=st.booleans(), holds=st.booleans())
    def notify(self, n, everyone, holds):
        def notify(it):
            return it.notify_all() if everyone else it.notify(n)

        answers = [
            side.call(lambda _, side=side: side.with_lock(notify)) if holds else side.call(notify)
            for side in self.sides
        ]
        assert answers[0] == answers[1]
        number = min(self.waiting(), THREADS if everyone else n) if holds else 0
        self.same(lambda side: side.returned(number))

    @of_kind("Barrier")
    @rule(fails=st.booleans(), timeout=st.sampled_from([None, None, None, 0.0005]))
    def arrive(self, fails, timeout):
        for side in self.sides:
            side.fails = fails
        barrier = self.sides[1].object
        last = self.waiting() == self.size + 1
        if barrier.broken or last or timeout is not None:
            answers = [side.call(lambda it: it.wait(timeout)) for side in self.sides]
            assert answers[0] == answers[1]
            number = self.waiting()
            self.same(lambda side: side.returned(number))
        else:
            self.same(lambda side: side.wait(lambda it: it.wait()))

    @of_kind("Barrier")
    @rule(name=st.sampled_from(["abort", "reset"]))
    def break_barrier(self, name):
        self.same_release(lambda it: getattr(it, name)(), self.waiting())

    def teardown(self):
        if not hasattr(self, "sides"):
            return
        for side in self.sides:
            if self.kind == "Condition":
                side.with_lock(lambda it: it.notify_all())
            elif self.kind == "Barrier":
                side.object.abort()
            elif self.kind == "Event":
                side.object.set()
            else:
                while side.waiting:
                    side.object.release()
                    side.returned(1)
            side.returned(side.waiting)


def test_every_argument(stress):
    """All pairs of arguments are compared on free locks, where no call waits."""
    names = ("golock.lock", "_thread.lock")
    differences = []
    for blocking in BLOCKING:
        for timeout in [*SHORT, *LONG, *REFUSED]:

            def call(lock, blocking=blocking, timeout=timeout):
                return lock.acquire(blocking, timeout)

            locks = golock.allocate_lock(), _thread.allocate_lock()
            ours, theirs = (answer_of(call, lock, names) for lock in locks)
            if ours != theirs or locks[0].locked() is not locks[1].locked():
                differences.append((blocking, timeout, ours, theirs))
    assert differences == []
    stress.count("pairs of arguments compared", len(BLOCKING) * len([*SHORT, *LONG, *REFUSED]))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("machine", [Comparison, FamilyComparison])
def test_same_answers(stress, machine):
    give_up = time.monotonic() + stress.size(0, 300)
    totals.update(steps=0, calls=0)
    while True:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=stress.size(80, 500),
                stateful_step_count=60,
                derandomize=not stress.soak,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
        stress.count("differential examples, Python", stress.size(80, 500))
        if time.monotonic() >= give_up:
            break
    stress.count("differential steps, Python", totals["steps"])
    stress.count("differential calls, Python", totals["calls"])
