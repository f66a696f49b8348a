"""What `golock.sight.snapshot` returns."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, overload

from . import LEVELS, _image
from ._image import AcrossEntry, Image, ObjectEntry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of code that a thread is in."""

    file: str
    line: int
    """The line's number, or 0 if it is unknown."""
    function: str
    is_go: bool = False

    def __str__(self) -> str:
        text = f'  File "{self.file}", line {self.line}, in {self.function}'
        source = "" if self.is_go else linecache.getline(self.file, self.line).strip()
        return f"{text}\n    {source}" if source else text


Stack = tuple[Frame, ...]
"""The outermost call first; empty if it is unknown."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread, a goroutine, a task, or another that holds a primitive or waits for one."""

    key: int
    """Identifies it in the process. A key is used once."""
    kind: str
    """
    "Python" or "goroutine"; "task" of an event loop; "outside Python" for other code; "lost" for a
    thread that did not survive a fork; "unknown".
    """
    name: str
    identifier: int
    """
    ``threading.get_ident()``, of a task that of its loop's thread; or the goroutine's number; 0 if
    it is unknown.
    """
    native_id: int | None
    is_main: bool
    """Whether it is the main thread, the one that runs signal handlers."""
    loop: int | None = None
    """Of a task: the `key` of the thread in which its loop ran when it was first seen."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds a lock of several processes."""

    pid: int | None
    """
    Its id; that of another machine has it there. None if it is unknown: the process is in another
    PID namespace, or has closed the descriptor of its lock.
    """
    host: str
    """The name of its machine, or "" for this one."""
    program: str
    """Its program's name, or "" if that is unknown."""
    slot: int | None
    """Its place in the page of a `golock.process.Lock`, from 1 on."""
    is_this: bool
    """Whether it is the process of the snapshot."""

    def __str__(self) -> str:
        if self.is_this:
            return "this process"
        said = "a process whose id is unknown here" if self.pid is None else f"process {self.pid}"
        said += f" ({self.program})" if self.program else ""
        said += f" of {self.host or 'this machine'}"
        return f"{said}, slot {self.slot}" if self.slot is not None else said


@dataclass(frozen=True, slots=True)
class Across:
    """What is known of a lock or an event of several processes, beyond this one."""

    name: str | None
    """Its name for all processes, or None if it is anonymous."""
    holder: Process | None
    """The process that holds it, or None: nobody, or unknown."""
    holder_known: bool
    """Whether `holder` is known. Nobody holds a lock that is free."""
    known_for: float | None
    """How old that is, in seconds, where this process has learned it from etcd; otherwise None."""
    waiting: int
    """How many threads of this process wait for it."""
    is_abandoned: bool = False
    """Whether a holder of a `golock.process.Lock` has died, and nobody has called `recover()`."""
    endpoints: tuple[str, ...] = ()
    """Those of etcd."""
    before: int | None = None
    """How many keys of other processes are known to be before this one's, if this one waits."""
    token: int | None = None
    """That of the hold of a `golock.etcd.Lock`, if this process has it."""
    lease: float | None = None
    """For how many seconds it lasts without another answer of etcd."""
    is_lost: bool = False
    """Whether this process has lost the lock, and has not released it yet."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A primitive that is known: it was made, used, named or shared while sight was on."""

    id: int
    """
    ``id()`` of the object, or the address of the word if Go has made it. A lock of several
    processes has one of its own in each, whatever objects there are for it.
    """
    kind: str
    """
    "Lock", "RLock", ..., "process.Lock", "etcd.Lock", "process.Event", or "object" if it is
    unknown.
    """
    name: str
    """
    As given by `golock.sight.name`, or the name of a lock or an event of several processes; else by
    where it was made; else by its address.
    """
    state: str
    """
    "held" or "free"; of an event "set" or "clear"; of a semaphore "available" or "exhausted"; of
    others "".
    """
    holder: Thread | None
    """The thread that holds a `Lock` or an `RLock`, or None: nobody, or unknown."""
    holder_known: bool
    """Whether `holder` is known. Nobody holds a lock that is free."""
    held_for: float | None
    """For how many seconds it has been held, or None if that is unknown."""
    acquired_at: Stack
    """Where its holder took it."""
    created_at: Frame | None
    value: int | None
    """A semaphore's permits, an `RLock`'s depth, or None."""
    is_shared: bool
    """Whether code outside Python knows it."""
    is_go: bool
    """Whether Go has made it."""
    released_by_another: bool
    """
    Whether another thread than its holder has released it, or may do so because code outside Python
    knows the lock.
    """
    last_set_by: Thread | None = None
    """The thread that last set an event, if that is known."""
    last_notified_by: Thread | None = None
    """The thread that last notified at a condition, if that is known."""
    last_ago: float | None = None
    """How many seconds ago it was last set or notified."""
    last_at: Stack = ()
    """Where it was last set or notified."""
    parties: int | None = None
    """How many threads a barrier is for."""
    missing: int | None = None
    """How many threads a barrier waits for."""
    waiting: tuple[Thread, ...] = ()
    """The threads that are known to wait at a barrier."""
    across: Across | None = None
    """Of a lock or an event of several processes."""

    @property
    def held_by(self) -> str:
        """Who holds the lock, in words; "" if it is not held."""
        if self.state != "held":
            return ""
        if self.holder is not None:
            return self.holder.name
        if self.across is None or self.across.holder is None:
            return "an unknown thread" if self.across is None else "an unknown process"
        if self.across.holder.is_this:
            return "an unknown thread of this process"
        return str(self.across.holder)


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait under way."""

    thread: Thread
    lock: Lock
    seconds: float
    """For how long it has waited for the lock."""
    gil_seconds: float | None
    """For how long it has waited for the GIL since it had the lock; None if it has no lock yet."""
    limited: bool
    """Whether it has a time-out."""
    remaining: float | None
    """How many seconds are left of the time-out, or None if it has none."""
    stack: Stack
    """Where it waits."""
    is_suspended: bool = False
    """Whether the thread runs signal handlers within its wait."""
    has_gil: bool = False
    """Whether it is Go code that waits while its thread has the GIL."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permits of a semaphore that a thread has taken and, as far as is known, not given back."""

    lock: Lock
    thread: Thread
    count: int
    held_for: float | None
    """For how many seconds it has had the first of them."""
    acquired_at: Stack


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Threads that wait in a circle: each for a lock that the next one holds."""

    waits: tuple[Wait, ...]
    certain: bool
    """
    Whether nothing known can end it: several threads take part, and no task, which might be
    cancelled; none of the waits has a time-out, and none of the locks has been released by another
    thread than its holder. A thread that waits for its own lock may use the lock as a signal, which
    another thread sends by its release.
    """
    has_main_thread: bool
    """Whether the main thread is one of them. A signal handler that raises may end its wait."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        tasks = sum(wait.thread.kind == "task" for wait in self.waits)
        members = "threads and tasks" if tasks else "threads"
        count = f"{len(self.waits)} {'tasks' if tasks == len(self.waits) else members}"
        if len(self.waits) == 1:
            alone = "a task" if tasks else "a thread"
            count = f"{alone} with {'the GIL' if self.waits[0].has_gil else 'itself'}"
        yield f"{'Deadlock' if self.certain else 'Possible deadlock'} of {count}:"
        for index, wait in enumerate(self.waits):
            limit = " with a time-out" if wait.limited else ""
            lock = wait.lock
            # The holder is in the circle, though a semaphore has several, and an RLock at the level
            # `waits` none that is recorded.
            holder = (lock.holder or self.waits[(index + 1) % len(self.waits)].thread).name
            gil = ", and keeps the GIL" if wait.has_gil else ""
            yield (
                f"{wait.thread.name} has waited {wait.seconds:.1f} s{limit} for {lock.name}, "
                f"which {holder} holds{gil}:"
            )
            yield from map(str, wait.stack)
            if lock.acquired_at:
                yield f"  {holder} took it at:"
                yield from map(str, lock.acquired_at)
        if self.has_main_thread:
            yield "A signal handler that raises may end the wait of the main thread."


@dataclass(frozen=True, slots=True)
class Edge:
    """Two locks, of which a thread has taken the second while it held the first."""

    first: str
    """The lock's name."""
    first_id: int
    """Its address. The lock may be gone."""
    first_at: Stack
    """Where it was taken."""
    second: str
    second_id: int
    second_at: Stack
    thread: Thread


@dataclass(frozen=True, slots=True)
class OrderCycle:
    """Locks that are taken in contradictory orders, so that threads may deadlock."""

    edges: tuple[Edge, ...]
    """
    The second lock of one and the first of the next were made in the same place, and may be two.
    """

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Possible deadlock: {len(self.edges)} locks are taken in contradictory orders:"
        for before, edge in zip((self.edges[-1], *self.edges), self.edges, strict=False):
            first, second = edge.first, edge.second
            if first == second:  # made in one place
                first, second = f"{first} at {edge.first_id:#x}", f"{second} at {edge.second_id:#x}"
            another = "" if edge.first_id == before.second_id else "another "
            yield f"{edge.thread.name} took {another}{first}:"
            yield from map(str, edge.first_at)
            yield f"and then {second}:"
            yield from map(str, edge.second_at)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was not recorded, for lack of room, since the process began."""

    waits: int = 0
    locks: int = 0
    stacks: int = 0
    samples: int = 0
    order: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """All waits that have ended since sight was switched on."""

    waits: int = 0
    seconds: float = 0.0
    """For how long they waited for their locks."""
    gil_seconds: float = 0.0
    """For how long they waited for the GIL afterwards."""


@dataclass(frozen=True)
class Snapshot:
    """What golock.sight knew at one time. The sequences make their items when they are accessed."""

    level: str
    """What is recorded, one of `LEVELS`."""
    process: int
    """The process's identifier."""
    time: float
    """When it was made, in seconds since the epoch."""
    recorded_for: float | None
    """For how many seconds sight has been on; None if it is off."""
    names_are_current: bool
    """Whether the names of threads are those of this moment. That needs the GIL."""
    locks: Sequence[Lock]
    waits: Sequence[Wait]
    """In the order in which they began."""
    threads: Sequence[Thread]
    permits: Sequence[Permit]
    deadlocks: tuple[Deadlock, ...]
    order: tuple[OrderCycle, ...]
    ended: Totals
    dropped: Dropped

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as `json.dumps` takes it, as ``snapshot.schema.json`` describes it.

        A thread is given by its key, and a lock by its id. Keys are strings: many programs do not
        read integers of 64 bits.
        """
        return _Document(self).as_json()

    def __str__(self) -> str:
        from ._text import text  # noqa: PLC0415

        return text(self)


class Items(Sequence[T]):
    """Items that are made when they are accessed."""

    __slots__ = ("_count", "_make")

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(map(self._make, range(self._count)[index]))
        return self._make(range(self._count)[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))

    def __repr__(self) -> str:
        return f"<{self._count} items>"


def decode(data: bytes | bytearray | memoryview) -> Snapshot:
    """Return the snapshot that an image holds.

    Raises ValueError if the data is no image. If it is damaged, accessing an item may raise
    ValueError, too.
    """
    return Model(Image(data)).snapshot()


class Model:
    """Makes the items of a snapshot from an image."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._now = image.header.now
        self._frames: dict[int, Frame | None] = {}
        self._stacks: dict[int, Stack] = {}
        self._threads: dict[int, Thread] = {}

    def snapshot(self) -> Snapshot:
        image, header = self.image, self.image.header
        return Snapshot(
            level=LEVELS[header.level] if header.level < len(LEVELS) else str(header.level),
            process=header.process,
            time=header.wall / 1e9,
            recorded_for=self._ago(header.started),
            names_are_current=bool(header.flags & _image.WITH_GIL),
            locks=Items(len(image.objects), lambda index: self._lock(image.objects[index])),
            waits=Items(len(image.waits), self.wait),
            threads=self._known_threads(),
            permits=Items(len(image.permits), self._permit),
            deadlocks=tuple(
                Deadlock(
                    tuple(map(self.wait, cycle.waits)),
                    bool(cycle.flags & _image.CYCLE_CERTAIN),
                    bool(cycle.flags & _image.CYCLE_MAIN_THREAD),
                )
                for cycle in image.cycles
            ),
            order=self._order(),
            ended=Totals(header.ended_waits, header.delay / 1e9, header.gil_delay / 1e9),
            dropped=Dropped(
                header.dropped_waits,
                header.dropped_objects,
                header.dropped_stacks,
                header.dropped_samples,
                header.dropped_order,
            ),
        )

    def _known_threads(self) -> Sequence[Thread]:
        """Return the threads, and the tasks that wait or have something."""
        image = self.image
        keys = image.threads.keys()
        if any(key & _image.TASK for key in keys):
            busy = {wait.thread for wait in image.waits}
            busy.update(permit.thread for permit in image.permits)
            busy.update(entry.owner for entry in image.objects if entry.owner & _image.TASK)
            keys = [key for key in keys if not key & _image.TASK or key in busy]
        return Items(len(keys), lambda index: self.thread(keys[index]))

    def frame(self, index: int) -> Frame | None:
        if index not in self._frames:
            entry = self.image.frame(index)
            self._frames[index] = entry and Frame(
                self.image.string(entry.file),
                entry.line,
                self.image.string(entry.function),
                bool(entry.flags & _image.FRAME_GO),
            )
        return self._frames[index]

    def stack(self, index: int) -> Stack:
        stack = self._stacks.get(index)
        if stack is None:
            frames = map(self.frame, reversed(self.image.stack(index)))
            stack = self._stacks[index] = tuple(frame for frame in frames if frame is not None)
        return stack

    def created_at(self, created: int) -> Frame | None:
        stack = self.stack(created)
        return stack[-1] if stack else None

    def thread(self, key: int) -> Thread:
        thread = self._threads.get(key)
        if thread is None:
            thread = self._threads[key] = self._new_thread(key)
        return thread

    def _new_thread(self, key: int) -> Thread:
        entry = self.image.thread(key)
        identifier = entry.identifier if entry else 0
        name = self.image.string(entry.name) if entry else ""
        if key & _image.GOROUTINE:
            kind = "goroutine"
            identifier = identifier or key & ~_image.GOROUTINE
            name = name or f"goroutine {identifier}"
        elif key & _image.TASK:
            kind = "task"
            number = str(entry.number - 1) if entry and entry.number else ""
            name = f"{name}{number}" or f"task {key & ~_image.TASK}"
        elif key & _image.OUTSIDE:
            kind = "outside Python"
            name = name or kind
        elif key & _image.LOST:
            kind = "lost"
            name = name or "a thread that did not survive a fork"
        elif key & _image.IDENTIFIED:
            kind = "Python"
            identifier = key & ~_image.IDENTIFIED
            name = f"thread {identifier:#x}"
        elif not key:
            kind = "unknown"
            name = "an unknown thread"
        else:
            kind = "Python"
            name = name or (f"thread {identifier:#x}" if identifier else f"thread {key}")
        native = entry.native if entry else 0
        is_main = entry is not None and bool(entry.flags & _image.THREAD_MAIN)
        loop = entry.loop or None if entry else None
        return Thread(key, kind, name, identifier, native or None, is_main, loop)

    def lock_name(self, kind: int, name: int, created: int, address: int = 0) -> str:
        """Return the name by which a primitive is known."""
        given = self.image.string(name)
        if given:
            return given
        if kind_name(kind) in {"process.Lock", "process.Event"}:
            return f"anonymous {self._unnamed(kind, created, address)}"
        return self._unnamed(kind, created, address)

    def _unnamed(self, kind: int, created: int, address: int) -> str:
        frame = self.created_at(created)
        if frame is not None:
            place = f"{short_path(frame.file)}:{frame.line}"
            return f"{kind_name(kind)} {place} ({frame.function})"
        return f"{kind_name(kind)} at {address:#x}" if address else kind_name(kind)

    def lock(self, address: int) -> Lock:
        entry = self.image.object(address)
        return self._lock(entry or ObjectEntry(address, 0, 0, 0, 0, 0, 0, 0, 0, 0))

    def _lock(self, entry: ObjectEntry) -> Lock:
        kind = kind_name(entry.kind)
        state = _STATES.get(kind, ("", ""))[bool(entry.flags & _image.OBJECT_HELD)]
        who = self.thread(entry.owner) if entry.owner else None
        across = self.image.across(entry.address)
        if across is not None and kind != "process.Event":
            state = (
                "held"
                if across.flags & _image.ACROSS_HELD
                else "free"
                if across.flags & _image.ACROSS_KNOWN
                else ""
            )
        is_held = state == "held"
        is_own = across is None or across.flags & _image.ACROSS_OWN
        holder = who if is_held and is_own else None
        ago, stack = self._ago(entry.since), self.stack(entry.stack)
        is_barrier = kind == "Barrier"
        signals = kind in ("Event", "Condition")
        return Lock(
            id=entry.address,
            kind=kind,
            name=self.lock_name(entry.kind, entry.name, entry.created, entry.address),
            state=state,
            holder=holder,
            holder_known=holder is not None or state == "free",
            held_for=ago if is_held and is_own else None,
            acquired_at=stack if is_held and is_own else (),
            created_at=self.created_at(entry.created),
            value=entry.value if kind in _WITH_VALUE else None,
            is_shared=bool(entry.flags & _image.OBJECT_SHARED),
            is_go=bool(entry.flags & _image.OBJECT_GO),
            released_by_another=bool(entry.flags & _image.OBJECT_STRANGER),
            last_set_by=who if kind == "Event" else None,
            last_notified_by=who if kind == "Condition" else None,
            last_ago=ago if signals else None,
            last_at=stack if signals else (),
            parties=entry.value if is_barrier else None,
            missing=max(0, entry.value - entry.arrived) if is_barrier else None,
            waiting=self._waiting(entry.address) if is_barrier else (),
            across=across and self._new_across(across),
        )

    def _new_across(self, entry: AcrossEntry) -> Across:
        string = self.image.string
        is_own = bool(entry.flags & _image.ACROSS_OWN)
        is_held = bool(entry.flags & _image.ACROSS_HELD)
        holder = None
        if is_held and (is_own or entry.slot or entry.process):
            holder = Process(
                pid=self.image.header.process if is_own else entry.process or None,
                host=string(entry.host),
                program=string(entry.program),
                slot=entry.slot or None,
                is_this=is_own,
            )
        endpoints = string(entry.endpoints)
        return Across(
            name=string(entry.name) or None,
            holder=holder,
            holder_known=holder is not None
            or (bool(entry.flags & _image.ACROSS_KNOWN) and not is_held),
            known_for=self._ago(entry.known),
            waiting=entry.waiting,
            is_abandoned=bool(entry.flags & _image.ACROSS_ABANDONED),
            endpoints=tuple(endpoints.split(",")) if endpoints else (),
            before=entry.before or None,
            token=entry.token or None,
            lease=max(0, entry.lease - self._now) / 1e9 if entry.lease else None,
            is_lost=bool(entry.flags & _image.ACROSS_LOST),
        )

    def wait(self, index: int) -> Wait:
        entry = self.image.waits[index]
        limited = entry.deadline != _image.FOREVER
        until = entry.taken or self._now
        return Wait(
            thread=self.thread(entry.thread),
            lock=self.lock(entry.object),
            seconds=max(0, until - entry.since) / 1e9,
            gil_seconds=self._ago(entry.taken),
            limited=limited,
            remaining=max(0, entry.deadline - self._now) / 1e9 if limited else None,
            stack=self.stack(entry.stack),
            is_suspended=bool(entry.flags & _image.WAIT_SUSPENDED),
            has_gil=bool(entry.flags & _image.WAIT_HAS_GIL),
        )

    def _permit(self, index: int) -> Permit:
        entry = self.image.permits[index]
        return Permit(
            lock=self.lock(entry.object),
            thread=self.thread(entry.thread),
            count=entry.number,
            held_for=self._ago(entry.since),
            acquired_at=self.stack(entry.stack),
        )

    def _order(self) -> tuple[OrderCycle, ...]:
        circles: dict[int, list[Edge]] = {}
        for entry in self.image.order:
            names = [
                self.lock_name(entry.first_kind, entry.first_name, entry.first_created),
                self.lock_name(entry.second_kind, entry.second_name, entry.second_created),
            ]
            thread = self.thread(entry.thread)
            if self.image.thread(entry.thread) is None and entry.thread_name:
                thread = replace(thread, name=self.image.string(entry.thread_name))
            edge = Edge(
                first=names[0],
                first_id=entry.first,
                first_at=self.stack(entry.first_stack),
                second=names[1],
                second_id=entry.second,
                second_at=self.stack(entry.second_stack),
                thread=thread,
            )
            circles.setdefault(entry.circle, []).append(edge)
        return tuple(OrderCycle(tuple(edges)) for edges in circles.values())

    def _waiting(self, address: int) -> tuple[Thread, ...]:
        return tuple(map(self.thread, self._waiters.get(address, ())))

    @cached_property
    def _waiters(self) -> dict[int, list[int]]:
        waiters: dict[int, list[int]] = {}
        for wait in self.image.waits:
            waiters.setdefault(wait.object, []).append(wait.thread)
        return waiters

    def _ago(self, moment: int) -> float | None:
        return max(0, self._now - moment) / 1e9 if moment else None


_STATES = {
    "object": ("", "held"),
    "Lock": ("free", "held"),
    "RLock": ("free", "held"),
    "Semaphore": ("available", "exhausted"),
    "BoundedSemaphore": ("available", "exhausted"),
    "Event": ("clear", "set"),
    "process.Lock": ("free", "held"),
    "etcd.Lock": ("free", "held"),
    "process.Event": ("clear", "set"),
}
_WITH_VALUE = ("RLock", "Semaphore", "BoundedSemaphore")


def short_path(file: str) -> str:
    """Return the name of a file, with its package if it is one's ``__init__.py``."""
    parts = file.rsplit("/", 2)
    return "/".join(parts[-2:] if parts[-1] == "__init__.py" else parts[-1:])


def kind_name(kind: int) -> str:
    """Return the name of a kind of primitives."""
    return _image.KINDS[kind] if kind < len(_image.KINDS) else _image.KINDS[0]


class _Document:
    """Makes JSON of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._threads: dict[int, Thread] = {}
        self._locks: dict[int, dict[str, Any]] = {}

    def as_json(self) -> dict[str, Any]:
        snapshot = self._snapshot
        for thread in snapshot.threads:
            self._key(thread)
        for lock in snapshot.locks:
            self._id(lock)
        document = {
            "version": 1,
            "level": snapshot.level,
            "process": snapshot.process,
            "time": snapshot.time,
            "recorded_for": snapshot.recorded_for,
            "names_are_current": snapshot.names_are_current,
            "waits": [self._wait(wait) for wait in snapshot.waits],
            "permits": [
                {
                    "lock": self._id(permit.lock),
                    "thread": self._key(permit.thread),
                    "count": permit.count,
                    "held_for": permit.held_for,
                    "acquired_at": _stack(permit.acquired_at),
                }
                for permit in snapshot.permits
            ],
            "deadlocks": [
                {
                    "waits": [self._wait(wait) for wait in deadlock.waits],
                    "certain": deadlock.certain,
                    "has_main_thread": deadlock.has_main_thread,
                }
                for deadlock in snapshot.deadlocks
            ],
            "order": [
                [
                    {
                        "first": edge.first,
                        "first_id": edge.first_id,
                        "first_at": _stack(edge.first_at),
                        "second": edge.second,
                        "second_id": edge.second_id,
                        "second_at": _stack(edge.second_at),
                        "thread": self._key(edge.thread),
                    }
                    for edge in cycle.edges
                ]
                for cycle in snapshot.order
            ],
            "ended": asdict(snapshot.ended),
            "dropped": asdict(snapshot.dropped),
        }
        document["locks"] = list(self._locks.values())
        document["threads"] = [
            {
                **asdict(thread),
                "key": str(thread.key),
                "loop": None if thread.loop is None else str(thread.loop),
            }
            for thread in self._threads.values()
        ]
        return document

    def _key(self, thread: Thread) -> str:
        self._threads.setdefault(thread.key, thread)
        return str(thread.key)

    def _optional_key(self, thread: Thread | None) -> str | None:
        return None if thread is None else self._key(thread)

    def _id(self, lock: Lock) -> int:
        if lock.id not in self._locks:
            self._locks[lock.id] = {
                "id": lock.id,
                "kind": lock.kind,
                "name": lock.name,
                "state": lock.state,
                "holder": self._optional_key(lock.holder),
                "holder_known": lock.holder_known,
                "held_for": lock.held_for,
                "acquired_at": _stack(lock.acquired_at),
                "created_at": lock.created_at and _frame(lock.created_at),
                "value": lock.value,
                "is_shared": lock.is_shared,
                "is_go": lock.is_go,
                "released_by_another": lock.released_by_another,
                "last_set_by": self._optional_key(lock.last_set_by),
                "last_notified_by": self._optional_key(lock.last_notified_by),
                "last_ago": lock.last_ago,
                "last_at": _stack(lock.last_at),
                "parties": lock.parties,
                "missing": lock.missing,
                "waiting": [self._key(thread) for thread in lock.waiting],
                "across": lock.across and asdict(lock.across),
            }
        return lock.id

    def _wait(self, wait: Wait) -> dict[str, Any]:
        return {
            "thread": self._key(wait.thread),
            "lock": self._id(wait.lock),
            "seconds": wait.seconds,
            "gil_seconds": wait.gil_seconds,
            "limited": wait.limited,
            "remaining": wait.remaining,
            "stack": _stack(wait.stack),
            "is_suspended": wait.is_suspended,
            "has_gil": wait.has_gil,
        }


def _stack(stack: Stack) -> list[dict[str, Any]]:
    return [_frame(frame) for frame in stack]


def _frame(frame: Frame) -> dict[str, Any]:
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "is_go": frame.is_go,
    }
