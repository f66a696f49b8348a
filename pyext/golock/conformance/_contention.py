"""Checks of what shows only when threads contend: exclusion, wake-ups, time-outs, signals, forks.

Each check is made on the interpreter's type and on the subject's, in the main thread of a process.
It returns the faults that it found, and what it saw that is neither right nor wrong by itself. A
fault that the interpreter's type shows in the same run is none.

Bounds are generous: early is a tenth of the time or more, late half a second or more, three times
in turn; threads have stalled when none of them has got further for four seconds.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from ._family import INTERPRETER, Family

STALL = 4.0
"""Seconds without progress after which threads count as stuck."""

LATE = 0.5
"""Seconds after its end at which a time-out is late."""

_SPAN = 0.7
_ROUNDS = 400
_MANY = 150

_lock = INTERPRETER.factories["Lock"]
_Semaphore = INTERPRETER.factories["Semaphore"]
_Event = INTERPRETER.factories["Event"]

MUTEXES = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")
SEMAPHORES = ("Semaphore", "BoundedSemaphore")


class Fault(NamedTuple):
    """What is wrong: its severity (of ``_findings.py``) and a sentence."""

    severity: str
    text: str


class Found(NamedTuple):
    """What a check gave; ``stuck`` says that threads of this process are left waiting."""

    faults: list[Fault]
    seen: dict[str, str]
    stuck: bool = False
    skipped: str = ""


class NotApplicableError(Exception):
    """What the check needs the type does not have."""


class Subject:
    """Makes objects of one kind, and knows how to wait for them."""

    def __init__(self, kind: str, family: Family) -> None:
        self.kind = kind
        self._family = family

    def new(self, capacity: int = 1) -> Any:
        """Return a new object: a semaphore with these permits, a barrier for these parties."""
        if self.kind in SEMAPHORES or self.kind == "Barrier":
            return self._family.factories[self.kind](capacity)
        return self._family.new(self.kind)

    def needs_timeout(self) -> None:
        """Raise `NotApplicableError` where a mutex's ``acquire`` takes no ``timeout``."""
        if not self.timed:
            raise NotApplicableError("acquire takes no timeout")

    @property
    def timed(self) -> bool:
        """Return whether a mutex's ``acquire`` takes a ``timeout``."""
        return self.kind not in MUTEXES or _accepts(lambda: self.new().acquire(timeout=0.01))

    @property
    def tries(self) -> bool:
        """Return whether a mutex's ``acquire`` can be told not to block."""
        return _accepts(lambda: self.new().acquire(False))


def _accepts(call: Callable[[], object]) -> bool:
    try:
        call()
    except (TypeError, NotImplementedError):
        return False
    return True


class Crew:
    """Threads that do something, watched from outside.

    A body gets a function to call whenever it has got further. Each thread counts for itself, as
    there may be no GIL.
    """

    def __init__(self, bodies: Iterable[Callable[[Callable[[], None]], None]]) -> None:
        self.errors: list[BaseException] = []
        self.counts: list[int] = []
        self._threads: list[threading.Thread] = []
        for index, body in enumerate(bodies):
            self.counts.append(0)
            arguments = (body, index)
            self._threads.append(threading.Thread(target=self._work, args=arguments, daemon=True))
        for thread in self._threads:
            thread.start()

    def _work(self, body: Callable[[Callable[[], None]], None], index: int) -> None:
        def further() -> None:
            self.counts[index] += 1

        try:
            body(further)
        except BaseException as error:
            self.errors.append(error)
        further()

    def finish(self, stalls: int = 1) -> bool:
        """Wait for the end of the threads; return false if none gets further for `STALL` seconds.

        ``stalls`` is how many times that long it may take them.
        """
        before, since = -1, time.monotonic()
        while any(thread.is_alive() for thread in self._threads):
            if sum(self.counts) != before:
                before, since = sum(self.counts), time.monotonic()
            elif time.monotonic() > since + stalls * STALL:
                return False
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(0.02)
                    break
        return True

    def faults(self) -> list[Fault]:
        """Return a fault for the first exception of each type."""
        texts = dict.fromkeys(f"{type(error).__name__}: {error}" for error in self.errors)
        return [Fault("exceptions", f"raised under contention: {text}") for text in texts]


def _stalled(thing: Any, subject: Subject) -> Fault:
    """Say in which state the threads are stuck."""
    took: list[bool] = []

    def look() -> None:
        with suppress(Exception):
            if subject.kind in MUTEXES and thing.acquire(False):
                took.append(True)
                thing.release()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(1)
    state = "while it was free" if took else "and nothing woke them"
    return Fault("lost wake-ups", f"waiters slept on for {STALL:g} s {state}")


# Mutual exclusion and turns.


def exclusion(subject: Subject) -> Found:
    """Check that no more threads are inside than the lock, or the semaphore, admits."""
    capacity = 2 if subject.kind in SEMAPHORES else 1
    thing = subject.new(capacity)
    guard = _lock()
    inside = most = 0
    end = time.monotonic() + _SPAN

    def body(take: Callable[[], Any], leave: Callable[[], Any]) -> Callable[..., None]:
        def work(further: Callable[[], None]) -> None:
            nonlocal inside, most
            while time.monotonic() < end and most <= capacity:
                if not take():
                    time.sleep(0)
                    continue
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0)
                with guard:
                    inside -= 1
                leave()
                further()

        return work

    ways: list[tuple[Callable[[], Any], Callable[[], Any]]] = [(thing.acquire, thing.release)]
    if subject.timed:
        ways.append((lambda: thing.acquire(timeout=10), thing.release))
    if subject.tries:
        ways.append((lambda: thing.acquire(False), thing.release))
    if hasattr(thing, "__enter__") and hasattr(thing, "__exit__"):
        ways.append(
            (lambda: (thing.__enter__(), True)[1], lambda: thing.__exit__(None, None, None))
        )
    if subject.kind == "RLock":
        ways.append(
            (
                lambda: thing.acquire() and thing.acquire(),
                lambda: (thing.release(), thing.release()),
            )
        )
    crew = Crew(body(*ways[index % len(ways)]) for index in range(max(6, len(ways))))
    finished = crew.finish()
    faults = []
    if most > capacity:
        text = f"{most} threads were inside at once, where {capacity} may be"
        faults.append(Fault("exclusion", f"{text}; after {sum(crew.counts)} acquires"))
    else:
        faults += crew.faults()
        if not finished:
            faults.append(_stalled(thing, subject))
    return Found(faults, {}, stuck=not finished)


def turns(subject: Subject) -> Found:
    """Check that each of several threads gets the lock, though none lets go for long."""
    thing = subject.new()
    shares = [0] * 4
    end = time.monotonic() + STALL

    def body(index: int) -> Callable[..., None]:
        def work(further: Callable[[], None]) -> None:
            while time.monotonic() < end and min(shares) < 10:
                if thing.acquire():
                    shares[index] += time.monotonic() < end
                    thing.release()
                    further()

        return work

    crew = Crew(body(index) for index in range(len(shares)))
    finished = crew.finish(2)
    faults = crew.faults()
    if not faults and not min(shares):
        text = f"a thread starved for {STALL:g} s, while others acquired {max(shares)} times"
        faults.append(Fault("lost wake-ups", text))
    if not finished:
        faults.append(_stalled(thing, subject))
    return Found(faults, {}, stuck=not finished)


# Wake-ups.


def _pause(number: int) -> None:
    """Give those about to sleep more or less time, so that a release meets them in each state."""
    time.sleep((0, 0.00005, 0.0002, 0.001)[number % 4])


def wakeups(subject: Subject) -> Found:
    """Check that whoever sleeps is woken when there is a reason to, again and again."""
    return {"Event": _event_wakeups, "Condition": _notifications, "Barrier": _barrier_rounds}.get(
        subject.kind, _mutex_wakeups
    )(subject)


def _rounds(subject: Subject, thing: Any, wait: Callable[[int], Any], **calls: Any) -> Found:
    """Let three threads wait, and wake them, in many rounds; ``before`` and ``after`` frame one."""
    begin, waiting, done = [_Semaphore(0) for _ in range(3)], _Semaphore(0), _Semaphore(0)

    def waiter(index: int) -> Callable[..., None]:
        def work(further: Callable[[], None]) -> None:
            try:
                for _ in range(_ROUNDS):
                    begin[index].acquire()
                    waiting.release()
                    wait(index)
                    further()
                    done.release()
            finally:
                waiting.release(_ROUNDS)
                done.release(_ROUNDS)

        return work

    def waker(further: Callable[[], None]) -> None:
        for number in range(_ROUNDS):
            calls["before"]()
            for semaphore in begin:
                semaphore.release()
            for _ in begin:
                waiting.acquire()
            _pause(number)
            calls["wake"]()
            for _ in begin:
                done.acquire()
            calls["after"]()
            further()

    crew = Crew([waker, *(waiter(index) for index in range(3))])
    finished = crew.finish()
    faults = crew.faults()
    if not finished and not faults:
        faults.append(_stalled(thing, subject))
    return Found(faults, {}, stuck=not finished)


def _nothing() -> None:
    pass


def _mutex_wakeups(subject: Subject) -> Found:
    thing = subject.new()
    timed = subject.timed

    def wait(index: int) -> None:
        if thing.acquire(timeout=60) if timed and index == 2 else thing.acquire():
            thing.release()

    return _rounds(subject, thing, wait, before=thing.acquire, wake=thing.release, after=_nothing)


def _event_wakeups(subject: Subject) -> Found:
    thing = subject.new()

    def wait(index: int) -> None:
        thing.wait(*[60] * (index == 2))

    return _rounds(subject, thing, wait, before=_nothing, wake=thing.set, after=thing.clear)


def _notifications(subject: Subject) -> Found:
    thing = subject.new()
    consumed = _Semaphore(0)
    items = 0

    def consume(further: Callable[[], None]) -> None:
        nonlocal items
        for _ in range(_ROUNDS // 2):
            thing.acquire()
            while not items:
                thing.wait()
            items -= 1
            thing.release()
            further()
            consumed.release()

    def produce(further: Callable[[], None]) -> None:
        nonlocal items
        for number in range(_ROUNDS // 2 * 3):
            _pause(number)
            thing.acquire()
            items += 1
            thing.notify()
            thing.release()
            consumed.acquire()
            further()

    crew = Crew([produce, consume, consume, consume])
    finished = crew.finish()
    faults = crew.faults()
    if not finished and not faults:
        faults.append(Fault("lost wake-ups", "a notification woke nobody, though threads waited"))
    return Found(faults, {}, stuck=not finished)


def _barrier_rounds(subject: Subject) -> Found:
    thing = subject.new(3)
    come = [0, 0, 0]
    indices: list[list[int]] = [[], [], []]
    early: list[int] = []

    def work(own: int) -> Callable[..., None]:
        def body(further: Callable[[], None]) -> None:
            for number in range(1, _ROUNDS + 1):
                come[own] = number
                indices[own].append(thing.wait())
                if min(come) < number:
                    early.append(number)
                further()

        return body

    crew = Crew(work(own) for own in range(3))
    finished = crew.finish()
    faults = crew.faults()
    if early:
        text = f"threads passed {len(early)} of {_ROUNDS} rounds before all had come"
        faults.append(Fault("exclusion", text))
    elif any(sorted(given) != [0, 1, 2] for given in zip(*indices, strict=False)):
        faults.append(Fault("values and states", "the indices of a round are not 0, 1 and 2"))
    if not finished and not faults:
        faults.append(_stalled(thing, subject))
    return Found(faults, {}, stuck=not finished)


def racing_timeouts(subject: Subject) -> Found:
    """Check that a waiter that times out while it is woken leaves the lock to the next."""
    subject.needs_timeout()
    thing = subject.new()
    chances = [random.Random(index) for index in range(3)]

    def wait(index: int) -> None:
        if thing.acquire(timeout=chances[index].uniform(0, 0.001)):
            thing.release()

    return _rounds(subject, thing, wait, before=thing.acquire, wake=thing.release, after=_nothing)


def released_by_another(subject: Subject) -> Found:
    """Check that a release by a thread that has not acquired wakes the waiter."""
    thing = subject.new()
    acquired = _Semaphore(0)
    waiting = _Semaphore(0)

    def waiter(further: Callable[[], None]) -> None:
        for _ in range(20):
            thing.acquire()
            further()
            acquired.release()
            waiting.acquire()

    def releaser(further: Callable[[], None]) -> None:
        for number in range(20):
            acquired.acquire()
            waiting.release()  # it acquires again, and waits
            _pause(number)
            if number % 2:
                time.sleep(0.005)
            if number < 19:
                thing.release()
            further()

    crew = Crew([waiter, releaser])
    finished = crew.finish()
    faults = crew.faults()
    if faults:
        faults = [Fault("exceptions", f"release by another thread {faults[0].text}")]
    elif not finished:
        faults.append(Fault("lost wake-ups", "a release by another thread did not wake the waiter"))
    return Found(faults, {}, stuck=not finished)


def many_waiters(subject: Subject) -> Found:
    """Check that many threads that wait for one object all go on."""
    thing = subject.new(_MANY + 1 if subject.kind == "Barrier" else 1)
    ready = _Semaphore(0)
    woken = False

    def wait(further: Callable[[], None]) -> None:
        if subject.kind == "Condition":
            thing.acquire()
            ready.release()
            while not woken:
                thing.wait()
            thing.release()
        else:
            ready.release()
            if subject.kind in MUTEXES:
                thing.acquire()
                thing.release()
            else:
                thing.wait()
        further()

    def wake(further: Callable[[], None]) -> None:
        nonlocal woken
        if subject.kind in MUTEXES and subject.kind != "Condition":
            thing.acquire()
            acquired.set()
        for _ in range(_MANY):
            ready.acquire()
        time.sleep(0.01)
        if subject.kind == "Condition":
            thing.acquire()
            woken = True
            thing.notify_all()
            thing.release()
        elif subject.kind == "Event":
            thing.set()
        elif subject.kind == "Barrier":
            thing.wait()
        else:
            thing.release()
        further()

    acquired = _Event()
    first = Crew([wake])
    if subject.kind in MUTEXES and subject.kind != "Condition":
        acquired.wait(STALL)
    crew = Crew([wait] * _MANY)
    finished = crew.finish() and first.finish()
    faults = [*first.faults(), *crew.faults()]
    if not finished and not faults:
        through = sum(crew.counts) // 2
        text = f"{through} of {_MANY} waiters went on, the others slept for {STALL:g} s"
        faults.append(Fault("lost wake-ups", text))
    return Found(faults, {}, stuck=not finished)


# Time-outs.


def timeouts(subject: Subject) -> Found:
    """Check that a wait that runs out ends neither early nor late, and says that it ran out."""
    subject.needs_timeout()
    faults: list[Fault] = []
    stuck = False

    def work(further: Callable[[], None]) -> None:
        for seconds in (0.02, 0.1, 0.2):
            late: list[float] = []
            for _ in range(3):
                taken, elapsed = _timed_out(subject, seconds)
                further()
                if taken:
                    text = f"a wait of {seconds:g} s that must run out returned {taken!r}"
                    severity = "exclusion" if subject.kind in MUTEXES else "values and states"
                    if subject.kind == "Condition":
                        severity = "values and states"
                    faults.append(Fault(severity, text))
                    return
                if elapsed < seconds - max(0.005, seconds / 10):
                    text = f"a time-out of {seconds:g} s came after {elapsed:.3f} s"
                    faults.append(Fault("time-outs", f"{text}: early"))
                    return
                if elapsed < seconds + LATE:
                    break
                late.append(elapsed)
            else:
                text = (
                    f"a time-out of {seconds:g} s came after {min(late):.3f} s, {len(late)} times"
                )
                faults.append(Fault("time-outs", f"{text}: late"))
                return

    crew = Crew([work])
    if not crew.finish(2):
        stuck = True
        faults.append(Fault("crashes and hangs", f"a time-out did not come in {2 * STALL:g} s"))
    return Found([*faults, *crew.faults()], {}, stuck=stuck)


def _timed_out(subject: Subject, seconds: float) -> tuple[Any, float]:
    """Wait where the wait must run out; return what it gave, and how long it took."""
    thing = subject.new(2 if subject.kind == "Barrier" else 1)
    if subject.kind in MUTEXES and subject.kind != "Condition":
        holder = threading.Thread(target=thing.acquire, daemon=True)
        holder.start()
        holder.join(STALL)
    elif subject.kind == "Condition":
        thing.acquire()
    begin = time.monotonic()
    if subject.kind in ("Condition", "Event"):
        taken = thing.wait(seconds)
    elif subject.kind == "Barrier":
        try:
            taken = ("an index", thing.wait(seconds))
        except Exception as error:
            if type(error).__name__ != "BrokenBarrierError":
                raise
            taken = None
    else:
        taken = thing.acquire(timeout=seconds)
    elapsed = time.monotonic() - begin
    if subject.kind == "Condition":
        thing.release()
    return taken, elapsed


def timeouts_under_contention(subject: Subject) -> Found:
    """Check that a time-out is not put off by others that come and go meanwhile."""
    subject.needs_timeout()
    thing = subject.new()
    over = False
    late: list[float] = []
    holding = _Semaphore(0)

    def hold(further: Callable[[], None]) -> None:
        while not over:
            if thing.acquire():
                holding.release()
                time.sleep(0.002)
                thing.release()

    def wait(further: Callable[[], None]) -> None:
        nonlocal over
        try:
            holding.acquire()
            for _ in range(60):
                begin = time.monotonic()
                if thing.acquire(timeout=0.02):
                    thing.release()
                elapsed = time.monotonic() - begin
                late.extend([elapsed] * (elapsed > 0.02 + LATE))
                further()
                if len(late) == 3:
                    return
        finally:
            over = True

    crew = Crew([wait, hold, hold, hold])
    finished = crew.finish(2)
    faults = crew.faults()
    if len(late) == 3:
        text = f"a time-out of 0.02 s came after {min(late):.3f} s or more, 3 times: late"
        faults.append(Fault("time-outs", f"under contention {text}"))
    elif not finished:
        text = f"under contention a time-out of 0.02 s did not come in {2 * STALL:g} s"
        faults.append(Fault("time-outs", text))
        over = True
        finished = crew.finish()
    return Found(faults, {}, stuck=not finished)


# Signals.


class _HandlerError(Exception):
    pass


def signals(subject: Subject) -> Found:
    """Check that a handler runs while the main thread waits, and what it raises comes out.

    The wait is in the main thread, where handlers run, so one that never ends is the caller's.
    """
    for timed in (False, True) if subject.timed else (False,):
        for raises in (False, True):
            faults = _signalled(subject, timed, raises)
            if faults:
                return Found(faults, {})
    return Found([], {})


def _signalled(subject: Subject, timed: bool, raises: bool) -> list[Fault]:
    kind, thing = subject.kind, subject.new()
    handled: list[float] = []
    in_time: list[bool] = []
    blocked = _Event()
    left: list[bool] = []

    def handler(*_: object) -> None:
        handled.append(time.monotonic())
        if raises and len(handled) == 1:
            raise _HandlerError

    def other(further: Callable[[], None]) -> None:
        if kind in MUTEXES and kind != "Condition":
            thing.acquire()
        blocked.set()
        further()
        time.sleep(0.05)
        # A signal may come just before its thread sleeps, and be seen only at the next.
        end = time.monotonic() + STALL
        while not handled and time.monotonic() < end:
            signal.pthread_kill(main, signal.SIGUSR1)
            for _ in range(20):
                if handled:
                    break
                time.sleep(0.01)
        in_time.append(bool(handled))
        time.sleep(0.05)
        left.append(True)
        if kind == "Condition":
            thing.acquire()
            thing.notify_all()
            thing.release()
        elif kind == "Event":
            thing.set()
        else:
            thing.release()

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, handler)
    if kind == "Condition":
        thing.acquire()  # so that nobody notifies before the wait
    crew = Crew([other])
    raised, result = False, None
    early = False
    faults: list[Fault] = []
    try:
        try:
            blocked.wait()
            if kind == "Condition":
                try:
                    result = thing.wait(*[60] * timed)
                finally:
                    thing.release()
            elif kind == "Event":
                result = thing.wait(*[60] * timed)
            else:
                result = thing.acquire(timeout=60) if timed else thing.acquire()
            early = not left
        except _HandlerError:
            raised = True
        except Exception as error:
            text = f"a signal during a wait made it raise {type(error).__name__}: {error}"
            faults.append(Fault("exceptions", text))
        crew.finish()
    finally:
        signal.signal(signal.SIGUSR1, before)
    if faults:
        return faults
    if not any(in_time):
        text = "a signal handler did not run during a wait of the main thread, only after it"
        return [*crew.faults(), Fault("lost wake-ups", text)]
    if raises and not raised:
        text = "what a signal handler raised during a wait did not come out of it"
        faults.append(Fault("exceptions", text))
    elif not raises and early:
        text = f"a wait ended by a signal, before there was a reason to, with {result!r}"
        faults.append(Fault("exclusion" if kind in MUTEXES and result else "lost wake-ups", text))
    elif not raises and not result:
        faults.append(Fault("values and states", f"a wait gave {result!r} after a signal"))
    return [*faults, *crew.faults()]


# Forks.


def forks(subject: Subject) -> Found:
    """Check what a child can do that is forked while others hold and wait."""
    held, mine = subject.new(), subject.new()
    holding, over = _Event(), _Event()

    def hold(further: Callable[[], None]) -> None:
        held.acquire()
        holding.set()
        further()
        over.wait()
        held.release()

    def wait(further: Callable[[], None]) -> None:
        holding.wait()
        held.acquire()
        held.release()

    crew = Crew([hold, wait, wait])
    holding.wait(STALL)
    time.sleep(0.02)
    mine.acquire()
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    status = _in_child(lambda: _use_new(subject))
    if status == "hangs":
        faults.append(Fault("crashes and hangs", "a forked child hangs on a new lock"))
    elif status != "ok":
        faults.append(Fault("exceptions", f"a forked child that uses a new lock: {status}"))
    seen["a forked child releases what it held, and acquires it again"] = _in_child(
        lambda: _use_own(mine, subject)
    )
    if subject.tries:
        seen["a forked child tries what another thread held"] = _in_child(
            lambda: "taken" if held.acquire(False) else "not taken"
        )
    over.set()
    mine.release()
    finished = crew.finish()
    if not finished:
        faults.append(_stalled(held, subject))
    return Found([*faults, *crew.faults()], seen, stuck=not finished)


def _use_new(subject: Subject) -> str:
    thing = subject.new()

    def work(further: Callable[[], None]) -> None:
        for _ in range(50):
            thing.acquire()
            time.sleep(0)
            thing.release()
            further()

    crew = Crew([work, work])
    finished = crew.finish()
    return "hangs" if not finished else crew.faults()[0].text if crew.errors else "ok"


def _use_own(mine: Any, subject: Subject) -> str:
    mine.release()
    if subject.timed:
        return "ok" if mine.acquire(timeout=STALL) else "cannot"
    mine.acquire()
    return "ok"


def _in_child(call: Callable[[], str]) -> str:
    """Make the call in a forked child; return its answer, or how the child fared."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this process has threads
        child = os.fork()
    if not child:
        try:
            answer = call()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:500])
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + 2 * STALL
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                answer = os.read(reading, 500).decode(errors="replace")
                return answer or f"ended with status {os.waitstatus_to_exitcode(status)}"
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hangs"
    finally:
        os.close(reading)


class Check(NamedTuple):
    """A check, and the kinds that it examines."""

    name: str
    run: Callable[[Subject], Found]
    kinds: tuple[str, ...]


_ALL = (*MUTEXES, "Event", "Barrier")

CHECKS = (
    Check("mutual exclusion", exclusion, MUTEXES),
    Check("each thread gets its turn", turns, MUTEXES),
    Check("wake-ups", wakeups, _ALL),
    Check("time-outs that race with releases", racing_timeouts, MUTEXES),
    Check("release by another thread", released_by_another, ("Lock", *SEMAPHORES)),
    Check("many waiters", many_waiters, _ALL),
    Check("time-outs", timeouts, _ALL),
    Check("time-outs under contention", timeouts_under_contention, MUTEXES),
    Check("signals during a wait", signals, (*MUTEXES, "Event")),
    Check("forks", forks, MUTEXES),
)


def checks(kind: str) -> list[str]:
    """Return the names of the checks for a kind."""
    return [check.name for check in CHECKS if kind in check.kinds]


def examine(name: str, kind: str, family: Family) -> Found:
    """Make a check; what the objects themselves raise is a fault."""
    (check,) = [check for check in CHECKS if check.name == name]
    try:
        return check.run(Subject(kind, family))
    except NotApplicableError as reason:
        return Found([], {}, skipped=str(reason))
    except Exception as error:
        return Found([Fault("exceptions", f"raised {type(error).__name__}: {error}")], {}, True)
