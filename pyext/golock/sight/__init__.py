"""Who waits for which lock, who holds it, since when and from where; who is deadlocked.

Off unless switched on, by ``start()`` or by ``GOLOCK_SIGHT`` in the environment, for the whole
process, at any time. At the level ``waits`` every wait of a Python thread for one of golock's
primitives is recorded while it lasts; calls that do not wait cost the same as before. At the level
``owners`` the holder of every `Lock` and `RLock` is recorded as well, which slows down each acquire
and release.

What is not known is not guessed. At ``waits`` only an RLock has a known holder, because it has to
know it. A lock that was taken before the level ``owners`` was set has none.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from .. import _golock
from ._deadlocks import react
from ._image import Image
from ._samples import SECTIONS, Contention, Profile, Sample

if TYPE_CHECKING:
    from ._deadlocks import OnDeadlock

__all__ = [
    "LEVELS",
    "Contention",
    "Deadlock",
    "Frame",
    "Hold",
    "Lock",
    "Profile",
    "Sample",
    "Snapshot",
    "Wait",
    "deadlocks",
    "level",
    "name",
    "profile",
    "snapshot",
    "start",
    "stop",
]

_HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

LEVELS = ("off", "waits", "owners", "order")
"""What is recorded: nothing; waits; also who holds locks; also the order of locks."""


@dataclass(frozen=True)
class Frame:
    """A line of Python code that a thread is in."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        text = f'  File "{self.file}", line {self.line}, in {self.function}'
        source = linecache.getline(self.file, self.line).strip()
        return f"{text}\n    {source}" if source else text


@dataclass(frozen=True)
class Hold:
    """A lock that a thread holds."""

    lock: int
    """``id()`` of the lock."""
    name: str
    """As given by `name`, or the lock's address."""
    thread: int
    """The identifier of its thread; 0 for one that did not survive a fork."""
    state: int | None
    """The identifier of the thread's state, which is used once, or None if that is unknown."""
    thread_name: str
    seconds: float | None
    """For how long it has held the lock, to some milliseconds; None if that is unknown."""
    acquired_at: Frame | None
    """Where it took the lock, or None if that is unknown."""


@dataclass(frozen=True)
class Lock:
    """An object that somebody waits for."""

    id: int
    """``id()`` of the object."""
    kind: str
    """The name of its class."""
    name: str
    """As given by `name`, or its kind and address."""
    hold: Hold | None
    """Who holds it, or None: unknown, or nobody."""
    released_by_another: bool
    """
    Whether another thread than its holder has released it, or may do so because code outside Python
    knows the lock.
    """


@dataclass(frozen=True)
class Wait:
    """A thread that waits."""

    thread: int
    """Its identifier, as ``threading.get_ident()`` gives it."""
    state: int
    """The identifier of its state, which is used once."""
    thread_name: str
    lock: Lock
    seconds: float
    """For how long it has waited."""
    limited: bool
    """Whether it has a time-out."""
    stack: tuple[Frame, ...]
    """Where it waits, the outermost call first; empty in an interpreter without a GIL."""


@dataclass(frozen=True)
class Snapshot:
    """What `snapshot` saw."""

    level: str
    waits: tuple[Wait, ...]
    """In the order in which they began."""
    holds: tuple[Hold, ...]
    """The locks that are held, in the order in which they were taken."""
    dropped: int
    """How many waits were not recorded, for lack of memory, since the process began."""

    @property
    def locks(self) -> tuple[Lock, ...]:
        """The objects that somebody waits for."""
        return tuple({wait.lock.id: wait.lock for wait in self.waits}.values())

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as `json.dumps` takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Deadlock:
    """Threads that wait in a circle: each for a lock that the next one holds."""

    waits: tuple[Wait, ...]
    certain: bool
    """
    Whether nothing known can end it: several threads take part, none of the waits has a time-out,
    and none of the locks has been released by another thread than its holder. A thread that waits
    for its own lock may use the lock as a signal, which another thread sends by its release.
    """
    has_main_thread: bool
    """Whether the main thread is one of them. A signal handler that raises may end its wait."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        count = "a thread with itself" if len(self.waits) == 1 else f"{len(self.waits)} threads"
        yield f"{'Deadlock' if self.certain else 'Possible deadlock'} of {count}:"
        for wait in self.waits:
            limit = " with a time-out" if wait.limited else ""
            holder = wait.lock.hold.thread_name if wait.lock.hold else "unknown"
            yield (
                f"{wait.thread_name} has waited {wait.seconds:.1f} s{limit} for {wait.lock.name}, "
                f"which {holder} holds:"
            )
            yield from map(str, wait.stack)
            if wait.lock.hold and wait.lock.hold.acquired_at:
                yield f"  {holder} took it at:"
                yield str(wait.lock.hold.acquired_at)
        if self.has_main_thread:
            yield "A signal handler that raises may end the wait of the main thread."


def start(
    level: str = "waits",
    period: float | None = None,
    *,
    on_deadlock: OnDeadlock = "report",
    threshold: float = 0.1,
) -> None:
    """Record from now on. Waits under way are not recorded, and locks that are held have no holder.

    Profiles sample waits that are shorter than `period`, in seconds: 20 µs, unless another one has
    been given; with 0 they record all.

    A deadlock is found when its last wait has lasted for `threshold` seconds, and told once. With
    ``"report"`` it is described on standard error, without the GIL. With ``"raise"``
    `golock.DeadlockError` is raised in the youngest wait of a Python thread for a lock, if the
    deadlock is certain; that lock is not taken. Where this cannot be, it is described: no
    `Condition.wait` is ended while it takes its lock again, since its caller has that lock whenever
    it returns. A logger gets the description, and a function the `Deadlock`, in a daemon thread;
    what the function raises goes to `sys.unraisablehook`. With None deadlocks are not looked for.

    At the level ``order``, locks that are taken in contradictory orders are told in the same way,
    as an `OrderCycle`, when that is seen first; with None they are only in snapshots.

    Raises ValueError for a level that is none of `LEVELS`, a negative period, a threshold that is
    not positive, and another string for `on_deadlock`, TypeError for another object.
    """
    if level not in LEVELS:
        raise ValueError(f"no such level: {level!r}; the levels are {', '.join(LEVELS)}")
    if period is not None:
        _golock.set_sight_period(round(period * 1e9))
    react(on_deadlock, threshold)
    _golock.set_sight_level(LEVELS.index(level))


def stop() -> None:
    """Record nothing from now on. Waits under way stay recorded until they end."""
    start("off", on_deadlock=None)


def level() -> str:
    """Return what is recorded, one of `LEVELS`."""
    return LEVELS[_golock.sight_level()]


def profile(seconds: float | None = None, level: str = "owners") -> Profile:
    """Return what waits cost from now on, until the profile is stopped, or for some seconds.

    ::

        with golock.sight.profile() as profile:
            work()
        profile.write("waits.pb.gz")

    Without `seconds` it goes on until its method ``stop`` is called, or until the end of a ``with``
    statement. Otherwise the calling thread sleeps so long. Meanwhile `level` is recorded, if it
    records more than the one that is set. At ``owners`` profiles tell who held the locks.
    """
    before = _golock.sight_level()
    _golock.set_sight_level(max(before, LEVELS.index(level)))
    meanwhile = _golock.sight_level()

    def end() -> None:
        if meanwhile == _golock.sight_level() != before:
            _golock.set_sight_level(before)

    started = Profile(lambda: Image(_golock.sight_image(SECTIONS)), end)
    if seconds is not None:
        with started:
            time.sleep(seconds)
    return started


_names: dict[int, tuple[weakref.ref[object], str]] = {}


def name(lock: object, name: str) -> None:
    """Give an object the name by which `snapshot` calls it, for as long as the object lives."""
    key = id(lock)

    def forget(_: weakref.ref[object]) -> None:
        _names.pop(key, None)

    _names[key] = weakref.ref(lock, forget), name


def snapshot() -> Snapshot:
    """Return who waits for what and who holds what now."""
    return _Look().snapshot()


class _Look:
    """A look at the threads, with what is the same for all of them."""

    def __init__(self) -> None:
        self._waits = _golock.waits()
        self._holds = _golock.holds()
        self._now = time.monotonic_ns()
        # Without the lock of threading.enumerate(), which may be one of those that are waited for.
        threads = threading._active  # type: ignore[attr-defined]
        self._threads: dict[int, str] = {
            thread: each.name for thread, each in dict(threads).items()
        }

    def snapshot(self) -> Snapshot:
        stacks = _stacks({wait[1] for wait in self._waits})
        waits = [
            Wait(
                thread,
                state,
                self._thread(thread),
                self._lock(thing),
                (self._now - since) / 1e9,
                limited,
                stacks.get(thread, ()),
            )
            for thing, thread, state, since, limited in sorted(
                self._waits, key=lambda wait: wait[3]
            )
        ]
        holds = [
            self._hold(hold[0], hold[1:]) for hold in sorted(self._holds, key=lambda hold: hold[3])
        ]
        return Snapshot(level(), tuple(waits), tuple(holds), _golock.waits_dropped())

    def lasting(self, waits: tuple[Wait, ...]) -> list[Wait]:
        """Return those of the waits that have lasted until now.

        All of these went on while the holders were read, so a circle of them was one at that time.
        """
        now = {(id(thing), thread, since) for thing, thread, _, since, _ in _golock.waits()}
        begun = {(id(thing), thread): since for thing, thread, _, since, _ in self._waits}
        keys = [(wait.lock.id, wait.thread) for wait in waits]
        return [wait for wait, key in zip(waits, keys, strict=True) if (*key, begun[key]) in now]

    def _thread(self, thread: int) -> str:
        if thread == 0:
            return "a thread that did not survive a fork"
        return self._threads.get(thread, f"thread {thread:#x}")

    def _hold(self, lock: int, recorded: tuple[int, int, int, str, int, str]) -> Hold:
        thread, state, since, file, line, function = recorded
        named = _named(lock, "lock")
        place = Frame(file, line, function) if file else None
        seconds = max(0.0, (self._now - since) / 1e9)
        return Hold(lock, named, thread, state, self._thread(thread), seconds, place)

    def _lock(self, thing: object) -> Lock:
        kind = type(thing).__name__
        named = _named(id(thing), kind)
        hold = None
        recorded, owner = _golock.hold_of(thing), _golock.owner(thing)
        if recorded is not None:
            hold = self._hold(id(thing), recorded)
        elif owner is not None:
            hold = Hold(id(thing), named, owner, None, self._thread(owner), None, None)
        return Lock(id(thing), kind, named, hold, _golock.released_by_another(thing))


def _named(thing: int, kind: str) -> str:
    given = _names.get(thing)
    return f"{kind} at {thing:#x}" if given is None else given[1]


def _name(code: CodeType) -> str:
    return str(getattr(code, "co_qualname", code.co_name))


def _stacks(threads: set[int]) -> dict[int, tuple[Frame, ...]]:
    if not _HAS_GIL:
        return {}  # the threads may run, and change the frames, while these are read
    frames = sys._current_frames()
    try:
        return {thread: _stack(frame) for thread, frame in frames.items() if thread in threads}
    finally:
        frames.clear()  # this frame is one of them


def _stack(frame: FrameType | None) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    while frame is not None:
        frames.append(Frame(frame.f_code.co_filename, frame.f_lineno, _name(frame.f_code)))
        frame = frame.f_back
    return tuple(reversed(frames))


def deadlocks() -> tuple[Deadlock, ...]:
    """Return the circles of threads that wait for each other now, each once.

    A thread that waits for a `Lock` that it holds itself is a circle of one.
    """
    look = _Look()
    return _deadlocks(look.lasting(look.snapshot().waits))


def _holder(waits: dict[int, Wait], hold: Hold | None) -> int | None:
    """Return the thread that holds a lock and waits, unless another has its identifier now."""
    wait = None if hold is None else waits.get(hold.thread)
    if wait is None or hold is None or hold.state not in (None, wait.state):
        return None
    return wait.thread


def _deadlocks(seen: list[Wait]) -> tuple[Deadlock, ...]:
    # A signal handler may wait within a wait: the last one is what the thread is in.
    waits = {wait.thread: wait for wait in seen}
    main = threading.main_thread().ident
    found: list[Deadlock] = []
    done: set[int] = set()
    for first in waits:
        path: list[int] = []
        thread: int | None = first
        while thread in waits and thread not in done and thread not in path:
            path.append(thread)
            thread = _holder(waits, waits[thread].lock.hold)
        if thread in path:
            circle = tuple(waits[member] for member in path[path.index(thread) :])
            certain = len(circle) > 1 and not any(
                wait.limited or wait.lock.released_by_another for wait in circle
            )
            found.append(Deadlock(circle, certain, any(wait.thread == main for wait in circle)))
        done.update(path)
    return tuple(found)
