"""What ``python -m golock top`` shows: lines of text, made of what a process says."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from . import _image
from ._client import Client, ClientError, is_running
from ._image import Image
from ._model import Lock, Model, Snapshot, Wait, kind_name
from ._text import duration

COLUMNS: Final = ("total", "longest", "waiters", "held", "name")
"""By what the locks are sorted: their keys are t, l, w, h, n."""

HELP: Final = "t l w h n sort  up down select  enter stacks  0-3 level  q quit"

PLAIN, BOLD, RED, SELECTED, DIM = range(5)

Line = tuple[str, int]
"""A text and its style."""


@dataclass(slots=True)
class Row:
    """The locks of one name. Those without one are named by the line where they were made."""

    name: str
    kind: str
    locks: dict[int, Lock] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    total: float = 0.0
    """Seconds of all waits since sight was switched on, those under way included."""
    deadlocked: bool = False

    @property
    def longest(self) -> float:
        return max((wait.seconds for wait in self.waits), default=0.0)

    @property
    def held(self) -> float:
        return max((lock.held_for or 0.0 for lock in self.locks.values()), default=0.0)

    @property
    def holder(self) -> str:
        """The name of a holder, that of the lock with the first wait."""
        locks = [lock for lock in self.locks.values() if lock.state == "held"]
        if not locks:
            return ""
        holder = _holder(locks[0])
        return holder if len(locks) == 1 else f"{holder}, +{len(locks) - 1}"


@dataclass(slots=True)
class Picture:
    """What a process says at one time."""

    snapshot: Snapshot
    rows: list[Row]


def picture(image: Image) -> Picture:
    """Return the rows for the locks that are waited for, and those that have been."""
    model = Model(image)
    snapshot = model.snapshot()
    rows: dict[str, Row] = {}
    for wait in snapshot.waits:
        row = rows.setdefault(wait.lock.name, Row(wait.lock.name, wait.lock.kind))
        row.locks[wait.lock.id] = wait.lock
        row.waits.append(wait)
        row.total += wait.seconds
    for sample in image.samples:
        if not sample.flags & (_image.SAMPLE_HOLD | _image.SAMPLE_UNDER_WAY):
            name = model.lock_name(sample.kind, sample.name, sample.created, sample.object)
            row = rows.setdefault(name, Row(name, kind_name(sample.kind)))
            row.total += sample.delay / 1e9
    for deadlock in snapshot.deadlocks:
        for wait in deadlock.waits:
            rows[wait.lock.name].deadlocked = True
    return Picture(snapshot, list(rows.values()))


class Screen:
    """What is shown, and what the keys have chosen."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.picture: Picture | None = None
        self.message = ""
        """What has gone wrong."""
        self.sort = "total"
        self._selected = ""
        self._open: set[str] = set()
        self._first = 0
        self._shown: list[str] = []

    def press(self, key: str) -> None:
        """Do what a key asks for: the name of a column, "up", "down", "home", "end", "open"."""
        if key in COLUMNS:
            self.sort = key
        elif not self._shown:
            return
        elif key == "open":
            self._open ^= {self._selected or self._shown[0]}
        else:
            place = self._shown.index(self._selected) if self._selected in self._shown else 0
            last = len(self._shown) - 1
            place = {"up": place - 1, "down": place + 1, "home": 0, "end": last}.get(key, place)
            self._selected = self._shown[min(max(place, 0), last)]

    def lines(self, width: int, height: int) -> list[Line]:
        """Return at most so many lines, of at most so many characters."""
        head = list(self._head())
        rows = self._sorted()
        self._shown = [row.name for row in rows]
        if rows and self._selected not in self._shown:
            self._selected = self._shown[0]
        body: list[Line] = []
        selected = range(0)
        for row in rows:
            begin = len(body)
            body += self._row(row, width)
            if row.name == self._selected:
                selected = range(begin, len(body))
        title: list[Line] = [(self._title(width), BOLD)]
        room = max(0, height - len(head) - len(title) - 1)
        body = body[self._scroll(selected, len(body), room) :][:room]
        body += [("", PLAIN)] * (room - len(body))
        lines = [*head, *title, *body, (HELP, DIM)][:height]
        return [(_fit(text, width), style) for text, style in lines]

    def _head(self) -> Iterator[Line]:
        if self.picture is None:
            yield f"process {self.process}", BOLD
        else:
            snapshot = self.picture.snapshot
            when = time.strftime("%H:%M:%S", time.localtime(snapshot.time))
            yield (
                f"process {self.process}  {when}  level {snapshot.level}  "
                f"{len(snapshot.waits):,} wait, {snapshot.ended.waits:,} have waited "
                f"{duration(snapshot.ended.seconds)} for locks, "
                f"{duration(snapshot.ended.gil_seconds)} for the GIL",
                BOLD,
            )
            for deadlock in snapshot.deadlocks:
                what = "DEADLOCK" if deadlock.certain else "POSSIBLE DEADLOCK"
                names = [f"{wait.thread.name} -> {wait.lock.name}" for wait in deadlock.waits]
                yield f"{what}: {' -> '.join(names)}", RED
        if self.message:
            yield self.message, RED

    def _title(self, width: int) -> str:
        titles = ("LOCK", "TOTAL", "WAITERS", "LONGEST", "HELD")
        columns = ("name", "total", "waiters", "longest", "held")
        marked = [
            f"{title}v" if column == self.sort else title
            for title, column in zip(titles, columns, strict=True)
        ]
        return _columns(width, (*marked, "HOLDER"))

    def _row(self, row: Row, width: int) -> Iterator[Line]:
        cells = (
            row.name,
            duration(row.total),
            str(len(row.waits)),
            duration(row.longest) if row.waits else "",
            duration(row.held) if row.held else "",
            row.holder,
        )
        text = _columns(width, cells)
        mark = ">" if row.name == self._selected else " "
        style = RED if row.deadlocked else SELECTED if row.name == self._selected else PLAIN
        yield mark + text[1:], style
        if row.name in self._open:
            yield from self._details(row)

    def _details(self, row: Row) -> Iterator[Line]:
        for lock in row.locks.values():
            if lock.acquired_at:
                frame = lock.acquired_at[-1]
                holder = _holder(lock)
                yield (
                    f"    {holder} acquired it at {frame.file}:{frame.line} ({frame.function})",
                    PLAIN,
                )
        for wait in row.waits:
            yield f"    {wait.thread.name} has waited {duration(wait.seconds)}", PLAIN
            for frame in reversed(wait.stack):
                yield f"      {frame.file}:{frame.line} ({frame.function})", PLAIN
        if not row.waits:
            yield "    nobody waits", PLAIN

    def _sorted(self) -> list[Row]:
        if self.picture is None:
            return []
        rows = sorted(self.picture.rows, key=lambda row: (row.name.casefold(), row.name))
        if self.sort == "waiters":
            rows.sort(key=lambda row: -len(row.waits))
        elif self.sort == "longest":
            rows.sort(key=lambda row: -row.longest)
        elif self.sort == "held":
            rows.sort(key=lambda row: -row.held)
        elif self.sort == "total":
            rows.sort(key=lambda row: -row.total)
        return rows

    def _scroll(self, selected: range, length: int, room: int) -> int:
        """Return the first line of the body that is shown, so that the selected row is."""
        if selected and selected[0] < self._first:
            self._first = selected[0]
        elif selected and selected[-1] >= self._first + room:
            self._first = min(selected[0], selected[-1] - room + 1)
        self._first = max(0, min(self._first, length - room))
        return self._first


def _holder(lock: Lock) -> str:
    is_known = lock.holder is not None or (lock.across is not None and lock.across.holder_known)
    return lock.held_by if is_known else "unknown"


def _columns(width: int, cells: tuple[str, ...]) -> str:
    """Return a line. The name of the lock gets what the others leave; the holder goes first."""
    name, total, waiters, longest, held, holder = cells
    numbers = f"{total:>10} {waiters:>8} {longest:>10} {held:>10}  "
    room = width - len(numbers) - 2
    who = min(20, max(0, room - 20))
    what = max(10, room - who)
    return f"  {_fit(name, what)}{numbers}{_fit(holder, who)}"


def _fit(text: str, width: int) -> str:
    """Return the text, cut or filled up to this many cells of a terminal."""
    text = "".join(each if each.isprintable() else "?" for each in text)
    if _cells(text) <= width:
        return text + " " * (width - _cells(text))
    while _cells(text) > width - 1 and text:
        text = text[:-1]
    return (text + "~").ljust(width - _cells(text) + len(text)) if width > 0 else ""


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    combining = sum(unicodedata.combining(each) != 0 for each in text)
    return len(text) - combining + sum(map(_is_wide, text))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


class Source:
    """Asks the process, and tells the screen what it says or what has gone wrong."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self._client, self._screen = client, screen
        self._has_ended = False

    def update(self) -> None:
        """Take a new picture. If the process has ended, the last one stays."""
        if self._has_ended:  # another one may get its number
            return
        try:
            if self._client.is_closed:
                self._client = Client(self._screen.process)
            self._screen.picture = picture(self._client.image())
            self._screen.message = ""
        except (ClientError, ValueError) as error:
            self._screen.message = f"{error}; this is the last picture"
            self._has_ended = not is_running(self._screen.process)

    def set_level(self, level: int) -> None:
        """Have the process record at another level."""
        try:
            self._client.set_level(level)
        except ClientError as error:
            self._screen.message = str(error)
        else:
            self.update()

    def close(self) -> None:
        self._client.close()
