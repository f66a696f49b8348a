"""Profiles: what waits have cost between two moments, and at which stacks."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from . import _formats, _image
from ._image import Image, SampleEntry
from ._model import Frame, Model, Stack, kind_name

CONTENDED: Final = ("Lock", "RLock", "Semaphore", "BoundedSemaphore")
"""The kinds for which threads compete. At the others they often wait because there is no work."""

SECTIONS: Final = sum(
    1 << tag
    for tag in (
        _image.STRING_ENDS,
        _image.STRING_BYTES,
        _image.FRAMES,
        _image.STACKS,
        _image.THREADS,
        _image.SAMPLES,
    )
)
"""What a profile needs of an image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the waits of one kind have cost, or, if `is_hold`, the holds."""

    lock: str
    """The lock's name: as given, else its kind and where it was made, else its address."""
    kind: str
    thread: str
    """The name of the thread that waited or held."""
    stack: Stack
    """Where it waited, or where it took the lock."""
    holding_thread: str
    """The thread that held the lock when the waits began, or "" if that is unknown."""
    holder: Stack
    """Where that thread was then, or empty if that is unknown."""
    is_hold: bool
    count: int
    delay: int
    """Nanoseconds of waiting for the lock, or of holding it."""
    gil_delay: int
    """Nanoseconds of waiting for the GIL when the wait for the lock was over."""


@dataclass(frozen=True, slots=True)
class Contention:
    """What the waits for one lock have cost, or for several that were made at one line."""

    lock: str
    kind: str
    count: int
    seconds: float
    """Of waiting for the lock, all threads together."""
    gil_seconds: float
    """Of waiting for the GIL afterwards."""
    waited_at: Frame | None
    """The line outside the standard library that waited longest."""
    held_at: Frame | None
    """The line at which its holder was for the longest part of these waits."""

    def __str__(self) -> str:
        places = [
            f"{what} at {frame.file}:{frame.line} in {frame.function}"
            for what, frame in (("waited", self.waited_at), ("held", self.held_at))
            if frame is not None
        ]
        text = f"{duration(self.seconds)} in {self.count} waits for {self.lock}"
        return ", ".join([text, *places])


class Profile:
    """What waits have cost between two moments of a process, as two images show it.

    As a context manager, or until `stop`, it goes on; then it can be read.
    """

    def __init__(self, take: Callable[[], Image], end: Callable[[], None] | None = None) -> None:
        """Begin. `take` returns an image with `SECTIONS`, and `end` is called at the end."""
        self._take, self._end = take, end
        self._first = self._last = take()
        self._samples: tuple[Sample, ...] | None = None
        self._is_over = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def update(self) -> None:
        """Take what has been recorded until now."""
        if not self._is_over:
            self._last, self._samples = self._take(), None

    def stop(self) -> Profile:
        """End the profile, and return it. A second call does nothing."""
        if not self._is_over:
            try:
                self.update()
            finally:
                self._is_over = True
                if self._end is not None:
                    self._end()
        return self

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The waits and holds that have ended meanwhile, and waits that have not ended."""
        if self._samples is None:
            self._samples = tuple(_difference(self._first, self._last))
        return self._samples

    @property
    def began(self) -> int:
        """When it began, in nanoseconds since the epoch."""
        return self._first.header.wall

    @property
    def nanoseconds(self) -> int:
        """How long it has taken until `stop` or the last `update`."""
        return self._last.header.now - self._first.header.now

    @property
    def waits(self) -> int:
        """How many waits have ended. All are counted, also those that are not sampled."""
        return self._total("ended_waits")

    @property
    def delay(self) -> int:
        """How many nanoseconds these took until the object was had."""
        return self._total("delay")

    @property
    def gil_delay(self) -> int:
        """For how many nanoseconds these waited for the GIL afterwards."""
        return self._total("gil_delay")

    @property
    def period(self) -> int:
        """Waits shorter than this, in nanoseconds, were sampled."""
        return self._last.header.period

    def top(self, count: int = 5, kinds: Iterable[str] = CONTENDED) -> list[Contention]:
        """Return the locks for which threads have waited longest, the longest first.

        `kinds` are the names of the classes to consider.
        """
        chosen = set(kinds)
        groups: dict[tuple[str, str], list[Sample]] = {}
        for sample in self.samples:
            if not sample.is_hold and sample.kind in chosen:
                groups.setdefault((sample.lock, sample.kind), []).append(sample)
        found = [_contention(lock, kind, group) for (lock, kind), group in groups.items()]
        return sorted(found, key=lambda each: -each.seconds)[:count]

    def write(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002
        """Write it to a file, whole or not at all.

        The format is "pprof", "collapsed" (stacks for flame graphs) or "speedscope". If it is not
        given, the end of the name says which: ``.pb.gz`` and ``.pprof``; ``.collapsed``,
        ``.folded`` and ``.txt``; ``.json``. Raises ValueError for another format, and OSError.
        """
        data = _formats.encode(self, format or _formats.of_name(path))
        _write_whole(os.fspath(path), data)

    def _total(self, name: str) -> int:
        before = getattr(self._first.header, name) if _continues(self._first, self._last) else 0
        return int(getattr(self._last.header, name) - before)


def _continues(first: Image, last: Image) -> bool:
    """Return whether the samples of the first image are also the first of the last one."""
    return first.header.started == last.header.started != 0


@dataclass(slots=True)
class _Cost:
    """A sample of the last image, and what has been added to it since the first one."""

    entry: SampleEntry
    count: int
    delay: int
    gil_delay: int

    def subtract(self, delay: int, gil_delay: int) -> None:
        self.delay = max(0, self.delay - delay)
        self.gil_delay = max(0, self.gil_delay - gil_delay)


def _difference(first: Image, last: Image) -> Iterator[Sample]:
    costs = _costs(first if _continues(first, last) else None, last)
    model = Model(last)
    for cost in costs:
        if cost.count or cost.delay or cost.gil_delay:
            entry = cost.entry
            yield Sample(
                model.lock_name(entry.kind, entry.name, entry.created, entry.object),
                kind_name(entry.kind),
                _thread_name(model, entry.thread, entry.thread_name),
                model.stack(entry.stack),
                _thread_name(model, entry.holding_thread, entry.holding_name),
                model.stack(entry.holder),
                bool(entry.flags & _image.SAMPLE_HOLD),
                cost.count,
                cost.delay,
                cost.gil_delay,
            )


def _costs(first: Image | None, last: Image) -> list[_Cost]:
    costs = [_Cost(each, each.number, each.delay, each.gil_delay) for each in last.samples]
    if first is None:
        return costs
    under_way = {_wait_of(last, cost.entry): cost for cost in costs if _is_under_way(cost.entry)}
    for cost, before in zip(costs, first.samples, strict=False):
        if not _is_under_way(before):
            cost.count -= before.number
            cost.subtract(before.delay, before.gil_delay)
    # Of a wait that was under way at the beginning, only the rest counts.
    for before in filter(_is_under_way, first.samples):
        same = under_way.get(_wait_of(first, before))
        if same is not None:
            same.count = 0
        else:
            same = _ended(before, costs)
        if same is not None:
            same.subtract(before.delay, before.gil_delay)
    return costs


def _is_under_way(entry: SampleEntry) -> bool:
    return bool(entry.flags & _image.SAMPLE_UNDER_WAY)


def _wait_of(image: Image, entry: SampleEntry) -> tuple[int, int]:
    """Return the thread of a wait under way, and when it began."""
    return entry.thread, image.header.now - entry.delay - entry.gil_delay


def _ended(before: SampleEntry, costs: list[_Cost]) -> _Cost | None:
    """Return the sample to which a wait was added that was under way, or None if it is merged."""
    return next(
        (
            cost
            for cost in costs
            if (cost.entry.thread, cost.entry.stack) == (before.thread, before.stack)
            and not cost.entry.flags
            and cost.count
            and cost.delay + cost.gil_delay >= before.delay + before.gil_delay
        ),
        None,
    )


def _thread_name(model: Model, key: int, name: int) -> str:
    return model.image.string(name) or (model.thread(key).name if key else "")


_STANDARD_LIBRARY = re.compile(r"/python3\.\d+t?/(?!(site|dist)-packages/)|^<frozen ")


def _place(stack: Stack) -> Frame | None:
    """Return the innermost line outside the standard library, or the innermost one."""
    for frame in reversed(stack):
        if not _STANDARD_LIBRARY.search(frame.file):
            return frame
    return stack[-1] if stack else None


def _contention(lock: str, kind: str, samples: list[Sample]) -> Contention:
    waited: dict[Frame | None, int] = {}
    held: dict[Frame | None, int] = {}
    for sample in samples:
        for places, stack in (waited, sample.stack), (held, sample.holder):
            place = _place(stack)
            places[place] = places.get(place, 0) + sample.delay
    held.pop(None, None)
    return Contention(
        lock,
        kind,
        sum(sample.count for sample in samples),
        sum(sample.delay for sample in samples) / 1e9,
        sum(sample.gil_delay for sample in samples) / 1e9,
        max(waited, key=waited.__getitem__),
        max(held, key=held.__getitem__, default=None),
    )


def duration(seconds: float) -> str:
    """Return a time for people."""
    for unit, size in ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _write_whole(path: str, data: bytes) -> None:
    """Write a file that has either all of the data or what it had before."""
    try:
        is_special = not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        is_special = False
    if is_special:  # a pipe or a device, which must not be replaced
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(data)
        return
    path = os.path.realpath(path)
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        error.filename = path
        raise
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
