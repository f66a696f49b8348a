"""A snapshot as text for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._model import Across, Deadlock, Lock, OrderCycle, Snapshot, Stack, Thread, Wait

_MOST = 100
"""How many items of a list are shown."""
_MOST_NAMES = 8

RED, BOLD, PLAIN = "\x1b[31;1m", "\x1b[1m", "\x1b[0m"


def text(snapshot: Snapshot, colour: bool = False) -> str:
    """Return the snapshot as text for people: deadlocks first, then waits, then holders."""
    lines = _Text(snapshot, colour).lines()
    return "\n".join(line if isinstance(line, _Styled) else _printable(line) for line in lines)


def _printable(line: str) -> str:
    """Escape what moves the cursor: programs name threads after what they read."""
    if line.isprintable():
        return line
    escaped = (each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in line)
    return "".join(escaped)


class _Styled(str):
    """A line that has the terminal's codes for a style, and is printable beside them."""

    __slots__ = ()


class _Text:
    def __init__(self, snapshot: Snapshot, colour: bool) -> None:
        self._snapshot = snapshot
        self._colour = colour

    def lines(self) -> Iterator[str]:
        snapshot = self._snapshot
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.time))
        yield f"Process {snapshot.process}, {when}, {_level(snapshot)}"
        for deadlock in snapshot.deadlocks:
            yield from self._found(deadlock)
        for cycle in snapshot.order:
            yield from self._found(cycle)
        yield from self._waits()
        yield from self._holders()
        yield from self._threads()
        dropped = snapshot.dropped
        counts = {
            "waits": dropped.waits,
            "locks": dropped.locks,
            "stacks": dropped.stacks,
            "samples": dropped.samples,
            "orders": dropped.order,
        }
        if any(counts.values()):
            yield ""
            yield "Not recorded for lack of room: " + ", ".join(
                f"{count} {what}" for what, count in counts.items() if count
            )

    def _found(self, found: Deadlock | OrderCycle) -> Iterator[str]:
        first, *rest = str(found).splitlines()
        yield ""
        yield self._in(RED, first)
        yield from rest

    def _waits(self) -> Iterator[str]:
        by_lock: dict[int, list[Wait]] = {}
        for wait in self._snapshot.waits:
            by_lock.setdefault(wait.lock.id, []).append(wait)
        yield ""
        waits = _count(len(self._snapshot.waits), "wait")
        yield self._in(BOLD, f"{waits} for {_count(len(by_lock), 'lock')}")
        longest = sorted(by_lock.values(), key=lambda waits: -sum(wait.seconds for wait in waits))
        for waits_for_one in longest[:_MOST]:
            lock = waits_for_one[0].lock
            yield f"{lock.name}{_described(lock)}"
            yield from self._by_stack(waits_for_one)
        yield from _more(len(longest))

    def _by_stack(self, waits: list[Wait]) -> Iterator[str]:
        by_stack: dict[Stack, list[Wait]] = {}
        for wait in waits:
            by_stack.setdefault(wait.stack, []).append(wait)
        for stack, alike in by_stack.items():
            if len(alike) == 1:
                yield f"  {alike[0].thread.name} has waited {_wait(alike[0])}"
            else:
                names = _names(wait.thread for wait in alike)
                shortest, longest = (pick(wait.seconds for wait in alike) for pick in (min, max))
                lasted = f"{duration(shortest)} to {duration(longest)}"
                yield f"  {len(alike)} threads have waited {lasted}: {names}"
            for frame in stack:
                yield from (f"  {line}" for line in str(frame).splitlines())

    def _holders(self) -> Iterator[str]:
        held = [lock for lock in self._snapshot.locks if lock.state == "held"]
        gone = [lock for lock in self._snapshot.locks if lock.state != "held" and _is_gone(lock)]
        permits = self._snapshot.permits
        if held or permits:
            yield ""
            yield self._in(BOLD, f"{_count(len(held) + len(permits), 'lock')} held")
        held.sort(key=lambda lock: -(lock.held_for or 0.0))
        for lock in held[:_MOST]:
            place = "".join(
                f", acquired at {_place(lock.acquired_at)}" for _ in lock.acquired_at[:1]
            )
            yield f"{lock.name}{_described(lock)}{place}"
        yield from _more(len(held))
        for permit in islice(permits, _MOST):
            ago = "" if permit.held_for is None else f" for {duration(permit.held_for)}"
            place = f", acquired at {_place(permit.acquired_at)}" if permit.acquired_at else ""
            count = _count(permit.count, "permit")
            yield f"{permit.lock.name}: {permit.thread.name} has {count}{ago}{place}"
        yield from _more(len(permits))

        if gone:
            yield ""
            yield self._in(BOLD, f"{_count(len(gone), 'lock')} lost or abandoned")
        yield from (f"{lock.name}{_described(lock)}" for lock in gone[:_MOST])
        yield from _more(len(gone))

    def _threads(self) -> Iterator[str]:
        threads = self._snapshot.threads
        if threads:
            yield ""
            named = "" if self._snapshot.names_are_current else ", names as last seen"
            yield self._in(BOLD, f"{_count(len(threads), 'thread')}{named}")
        names = {thread.key: thread.name for thread in threads}
        for thread in islice(threads, _MOST):
            native = "" if thread.native_id is None else f", native id {thread.native_id}"
            kind = "" if thread.kind == "Python" else f" ({thread.kind})"
            if thread.loop in names:
                kind = f" (task of the loop in {names[thread.loop]})"
            main = " (main thread)" if thread.is_main and thread.name != "MainThread" else ""
            yield f"{thread.name}{kind}{main}{native}"
        yield from _more(len(threads))

    def _in(self, style: str, line: str) -> str:
        return _Styled(f"{style}{_printable(line)}{PLAIN}") if self._colour else line


def _level(snapshot: Snapshot) -> str:
    if snapshot.recorded_for is None:
        return "level off: nothing is recorded"
    return f"level {snapshot.level}, on for {duration(snapshot.recorded_for)}"


def _described(lock: Lock) -> str:
    """Return what is known of a lock beside its name."""
    said: list[str] = []
    if lock.kind != "object" and not lock.name.startswith((lock.kind, f"anonymous {lock.kind}")):
        said.append(lock.kind)
    if lock.state == "held":
        ago = "" if lock.held_for is None else f" for {duration(lock.held_for)}"
        said.append(f"held by {lock.held_by}{ago}")
    elif lock.state:
        said.append(lock.state)
    if lock.state == "available":
        said.append(_count(lock.value or 0, "permit"))
    for verb, thread in (("set", lock.last_set_by), ("notified", lock.last_notified_by)):
        if thread is not None:
            ago = "" if lock.last_ago is None else f" {duration(lock.last_ago)} ago"
            said.append(f"last {verb} by {thread.name}{ago}")
    if lock.missing is not None:
        said.append(f"{lock.missing} of {_count(lock.parties or 0, 'party', 'parties')} missing")
    if lock.across is not None:
        said.extend(_across(lock.across))
    if lock.released_by_another:
        said.append("released by another thread than its holder")
    return f" ({', '.join(said)})" if said else ""


def _is_gone(lock: Lock) -> bool:
    """Return whether a process has lost a lock of several ones, or has died with it."""
    return lock.across is not None and (lock.across.is_lost or lock.across.is_abandoned)


def _across(across: Across) -> Iterator[str]:
    if across.known_for is not None:
        yield f"known {duration(across.known_for)} ago"
    if across.is_abandoned:
        yield "abandoned"
    if across.is_lost:
        yield "lost"
    if across.token is not None:
        yield f"token {across.token}"
    if across.lease is not None:
        yield f"lease for {duration(across.lease)} more"
    if across.waiting:
        yield f"{_count(across.waiting, 'thread')} of this process waiting"
    if across.before is not None:
        yield f"{_count(across.before, 'process', 'processes')} first"
    if across.endpoints:
        yield f"etcd at {', '.join(across.endpoints)}"


def _wait(wait: Wait) -> str:
    said = [duration(wait.seconds)]
    if wait.remaining is not None:
        said.append(f"at most {duration(wait.remaining)} more")
    if wait.gil_seconds is not None:
        said.append(f"has the lock, and has waited {duration(wait.gil_seconds)} for the GIL")
    if wait.has_gil:
        said.append("has the GIL")
    if wait.is_suspended:
        said.append("runs a signal handler")
    return ", ".join(said)


def duration(seconds: float) -> str:
    """Return a time as text, such as "2.5 ms"."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} \N{MICRO SIGN}s"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _names(threads: Iterable[Thread]) -> str:
    names = [thread.name for thread in threads]
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _place(stack: Stack) -> str:
    frame = stack[-1]
    return f"{frame.file}:{frame.line} ({frame.function})"


def _count(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def _more(count: int) -> Iterator[str]:
    if count > _MOST:
        yield f"... and {count - _MOST:,} more"
