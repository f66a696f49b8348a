"""Which threads wait for which locks, since when and from where; which are deadlocked.

Off unless switched on, by ``start()`` or by ``GOLOCK_SIGHT=waits`` in the environment, for the
whole process, at any time. At the level ``waits`` every wait of a Python thread for one of golock's
primitives is recorded while it lasts. Calls that do not wait cost the same as before.

The owner of an `RLock` is known, because an RLock has to know it. Whoever holds another lock is
unknown at this level, and never guessed.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from . import _golock

__all__ = [
    "LEVELS",
    "Deadlock",
    "Frame",
    "Lock",
    "Snapshot",
    "Wait",
    "deadlocks",
    "level",
    "name",
    "snapshot",
    "start",
    "stop",
]

LEVELS = ("off", "waits")
"""What is recorded: nothing; the waits of Python threads."""


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
class Lock:
    """An object that somebody waits for."""

    id: int
    """``id()`` of the object."""
    kind: str
    """The name of its class."""
    name: str
    """As given by `name`, or its kind and address."""
    holder: int | None
    """The identifier of the thread that owns it, if it is an RLock; otherwise None: unknown."""


@dataclass(frozen=True)
class Wait:
    """A thread that waits."""

    thread: int
    """Its identifier, as ``threading.get_ident()`` gives it."""
    thread_name: str
    lock: Lock
    seconds: float
    """For how long it has waited."""
    limited: bool
    """Whether it has a time-out."""
    stack: tuple[Frame, ...]
    """Where it waits, the outermost call first."""


@dataclass(frozen=True)
class Snapshot:
    """What `snapshot` saw."""

    level: str
    waits: tuple[Wait, ...]
    """In the order in which they began."""
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
    """Threads that wait in a circle: each for a lock that the next one owns."""

    waits: tuple[Wait, ...]
    certain: bool
    """Whether none of the waits has a time-out."""

    has_main_thread: bool
    """Whether the main thread is one of them. A signal handler that raises may end its wait."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{'Deadlock' if self.certain else 'Possible deadlock'} of {len(self.waits)} threads:"
        names = {wait.thread: wait.thread_name for wait in self.waits}
        for wait in self.waits:
            holder = names[wait.lock.holder] if wait.lock.holder is not None else "unknown"
            limit = " with a time-out" if wait.limited else ""
            yield (
                f"{wait.thread_name} has waited {wait.seconds:.1f} s{limit} for {wait.lock.name}, "
                f"which {holder} owns:"
            )
            yield from map(str, wait.stack)
        if self.has_main_thread:
            yield "A signal handler that raises may end the wait of the main thread."


def start(level: str = "waits") -> None:
    """Record from now on. Waits under way are not recorded.

    Raises ValueError for a level that is none of `LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"no such level: {level!r}; the levels are {', '.join(LEVELS)}")
    _golock.set_sight_level(LEVELS.index(level))


def stop() -> None:
    """Record nothing from now on. Waits under way stay recorded until they end."""
    start("off")


def level() -> str:
    """Return what is recorded, one of `LEVELS`."""
    return LEVELS[_golock.sight_level()]


_names: dict[int, tuple[weakref.ref[object], str]] = {}


def name(lock: object, name: str) -> None:
    """Give an object the name by which `snapshot` calls it, for as long as the object lives."""
    key = id(lock)

    def forget(_: weakref.ref[object]) -> None:
        _names.pop(key, None)

    _names[key] = weakref.ref(lock, forget), name


def _lock(thing: object) -> Lock:
    kind = type(thing).__name__
    given = _names.get(id(thing))
    called = f"{kind} at {id(thing):#x}" if given is None else given[1]
    return Lock(id(thing), kind, called, _golock.owner(thing))


def _stack(frame: FrameType | None) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    while frame is not None:
        code = frame.f_code
        frames.append(
            Frame(code.co_filename, frame.f_lineno, getattr(code, "co_qualname", code.co_name))
        )
        frame = frame.f_back
    return tuple(reversed(frames))


def snapshot() -> Snapshot:
    """Return who waits for what now."""
    recorded = _golock.waits()
    now = time.monotonic_ns()
    frames = sys._current_frames()
    del frames[threading.get_ident()]  # a cycle, through this variable
    # Without the lock of threading.enumerate(), which may be one of those that are waited for.
    threads = {thread: each.name for thread, each in dict(threading._active).items()}  # type: ignore[attr-defined]
    waits = [
        Wait(
            thread,
            threads.get(thread, f"thread {thread:#x}"),
            _lock(thing),
            (now - since) / 1e9,
            limited,
            _stack(frames.get(thread)),
        )
        for thing, thread, since, limited in sorted(recorded, key=lambda record: record[2])
    ]
    return Snapshot(level(), tuple(waits), _golock.waits_dropped())


def deadlocks() -> tuple[Deadlock, ...]:
    """Return the circles of threads that wait for each other now, each once."""
    return _deadlocks(snapshot())


def _deadlocks(seen: Snapshot) -> tuple[Deadlock, ...]:
    # A signal handler may wait within a wait: the last one is what the thread is in.
    waits = {wait.thread: wait for wait in seen.waits}
    main = threading.main_thread().ident
    found: list[Deadlock] = []
    done: set[int] = set()
    for first in waits:
        path: list[int] = []
        thread: int | None = first
        while thread in waits and thread not in done and thread not in path:
            path.append(thread)
            thread = waits[thread].lock.holder
        if thread in path:
            circle = tuple(waits[member] for member in path[path.index(thread) :])
            certain = not any(wait.limited for wait in circle)
            found.append(Deadlock(circle, certain, any(wait.thread == main for wait in circle)))
        done.update(path)
    return tuple(found)
