"""Profiles: what waits have cost between two moments, and at which stacks."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any, Final

from . import _image
from ._image import Image, SampleEntry
from ._model import Frame, Model, Stack, kind_name

FORMATS: Final = ("pprof", "collapsed", "speedscope")

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
        text = f"{_duration(self.seconds)} in {self.count} waits for {self.lock}"
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
        """All waits and holds that ended between the two moments, in no particular order."""
        if self._samples is None:
            self._samples = tuple(_difference(self._first, self._last))
        return self._samples

    @property
    def seconds(self) -> float:
        """How long it was, in seconds."""
        return self._duration / 1e9

    @property
    def waits(self) -> int:
        """How many waits have ended. All are counted, also those that are not sampled."""
        return self._total("ended_waits")

    @property
    def delay(self) -> float:
        """How many seconds all of them took until the object was had."""
        return self._total("delay") / 1e9

    @property
    def gil_delay(self) -> float:
        """How many seconds all of them waited for the GIL afterwards."""
        return self._total("gil_delay") / 1e9

    @property
    def period(self) -> float:
        """Waits shorter than this, in seconds, were sampled."""
        return self._last.header.period / 1e9

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

        The format is one of `FORMATS`, or follows from the end of the name: pprof for ``.pb.gz``
        and ``.pb``, speedscope for ``.json``, collapsed for ``.collapsed``, ``.folded`` and
        ``.txt``. Raises ValueError for another one, and OSError.
        """
        _write_whole(os.fspath(path), self.encoded(format or format_of(path)))

    def encoded(self, format: str) -> bytes:  # noqa: A002
        """Return it in one of `FORMATS`. Raises ValueError for another one."""
        if format == "pprof":
            return gzip.compress(self.pprof(), mtime=0)
        if format == "speedscope":
            return json.dumps(self.speedscope()).encode()
        if format == "collapsed":
            return self.collapsed().encode()
        raise ValueError(f"no such format: {format!r}; the formats are {', '.join(FORMATS)}")

    def pprof(self) -> bytes:
        """Return it as pprof's protocol buffer, not compressed.

        Each wait is in it twice: at the waiter's stack with the label ``side`` = ``waiter``, and at
        the holder's with ``holder``. So the two have the same sums.
        """
        return _Pprof(self).encode()

    def collapsed(self) -> str:
        """Return the waiters' stacks, one a line with its nanoseconds of delay.

        The outermost frame is the thread, the innermost one the lock. flamegraph.pl, speedscope and
        others read it.
        """
        totals: dict[str, int] = {}
        for sample in self.samples:
            if not sample.is_hold:
                frames = [sample.thread, *map(_title, sample.stack), f"[{sample.lock}]"]
                line = ";".join(re.sub(r"[;\s]+", " ", frame) for frame in frames)
                totals[line] = totals.get(line, 0) + sample.delay
        return "".join(f"{line} {delay}\n" for line, delay in sorted(totals.items()))

    def speedscope(self) -> dict[str, Any]:
        """Return it as a document of speedscope's file format."""
        return _speedscope(self)

    @property
    def _duration(self) -> int:
        return self._last.header.now - self._first.header.now

    def _total(self, name: str) -> int:
        before = getattr(self._first.header, name) if _continues(self._first, self._last) else 0
        return int(getattr(self._last.header, name) - before)


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that the end of a file's name stands for, or raise ValueError."""
    name = os.fspath(path)
    for suffixes, found in (
        ((".pb.gz", ".pb", ".pprof"), "pprof"),
        ((".json",), "speedscope"),
        ((".collapsed", ".folded", ".txt"), "collapsed"),
    ):
        if name.endswith(suffixes):
            return found
    raise ValueError(f"{name}: the name does not say which format; name one: {', '.join(FORMATS)}")


def _continues(first: Image, last: Image) -> bool:
    """Return whether the samples of the first image are also the first of the last one."""
    return first.header.started == last.header.started != 0


def _difference(first: Image, last: Image) -> Iterator[Sample]:
    model = Model(last)
    before: Sequence[SampleEntry] = first.samples if _continues(first, last) else ()
    for index, entry in enumerate(last.samples):
        count, delay, gil_delay = entry.number, entry.delay, entry.gil_delay
        if index < len(before):
            count -= before[index].number
            delay -= before[index].delay
            gil_delay -= before[index].gil_delay
        if count or delay or gil_delay:
            yield Sample(
                model.lock_name(entry.kind, entry.name, entry.created, entry.object),
                kind_name(entry.kind),
                _thread_name(model, entry.thread, entry.thread_name),
                model.stack(entry.stack),
                _thread_name(model, entry.holding_thread, entry.holding_name),
                model.stack(entry.holder),
                bool(entry.flags & _image.SAMPLE_HOLD),
                count,
                delay,
                gil_delay,
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


def _duration(seconds: float) -> str:
    for unit, size in ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _title(frame: Frame) -> str:
    return f"{_function_name(frame)} ({os.path.basename(frame.file)}:{frame.line})"  # noqa: PTH119


def _function_name(frame: Frame) -> str:
    """Return the function with its module, because pprof merges functions by name."""
    if frame.is_go or not frame.file.endswith(".py"):
        return frame.function
    folder, file = os.path.split(frame.file)
    module = os.path.basename(folder) if file == "__init__.py" else file[:-3]  # noqa: PTH119
    return f"{module}.{frame.function}"


UNKNOWN: Final = Frame("", 0, "unknown")
"""The frame that stands for a stack that is not known."""


class _Pprof:
    """Encodes a profile as the message Profile of pprof's profile.proto."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str, str], int] = {}
        self._locations: dict[Frame, int] = {}
        self._definitions: list[bytes] = []

    def encode(self) -> bytes:
        profile, last = self._profile, self._profile._last.header
        types = [
            ("contentions", "count"),
            ("delay", "nanoseconds"),
            ("gil_delay", "nanoseconds"),
        ]
        if any(sample.is_hold for sample in profile.samples):
            types.append(("hold", "nanoseconds"))
        samples = [
            _message(2, encoded)
            for sample in profile.samples
            for encoded in self._sample(sample, len(types))
        ]
        python = self._string("python")
        comments = [
            f"{profile.waits} waits ended, after {last_delay(profile)}",
            "Each wait is in this profile twice: select one of -tagfocus=side=waiter, =holder",
        ]
        body = [
            *(_message(1, self._type(*each)) for each in types),
            *samples,
            _message(
                3,
                _number(1, 1)
                + _number(5, python)
                + b"".join(_number(field, 1) for field in (7, 8, 9)),
            ),
            *self._definitions,
            _number(9, last.wall - profile._duration),
            _number(10, profile._duration),
            _message(11, self._type("delay", "nanoseconds")),
            _number(12, last.period),
            *(_number(13, self._string(comment)) for comment in comments),
            _number(14, self._string("delay")),
        ]
        strings = [_message(6, string.encode("utf-8", "replace")) for string in self._strings]
        return b"".join(chain(body, strings))

    def _string(self, string: str) -> int:
        return self._strings.setdefault(string, len(self._strings))

    def _type(self, name: str, unit: str) -> bytes:
        return _number(1, self._string(name)) + _number(2, self._string(unit))

    def _sample(self, sample: Sample, types: int) -> Iterator[bytes]:
        labels = {"lock": sample.lock, "kind": sample.kind}
        if sample.is_hold:
            values = [0, 0, 0, sample.delay]
            yield self._one(sample.stack, values, labels, sample.thread, "holder")
            return
        values = [sample.count, sample.delay, sample.gil_delay, 0][:types]
        place = sample.holder[-1] if sample.holder else None
        if place is not None:
            labels["holder"] = f"{place.file}:{place.line}"
        yield self._one(sample.stack, values, labels, sample.thread, "waiter")
        yield self._one(sample.holder, values, labels, sample.holding_thread, "holder")

    def _one(
        self, stack: Stack, values: list[int], labels: dict[str, str], thread: str, side: str
    ) -> bytes:
        labels = {**labels, "thread": thread, "side": side}
        frames = map(self._location, reversed(stack or (UNKNOWN,)))
        return (
            _packed(1, frames)
            + _packed(2, values)
            + b"".join(
                _message(3, _number(1, self._string(key)) + _number(2, self._string(value)))
                for key, value in labels.items()
                if value
            )
        )

    def _location(self, frame: Frame) -> int:
        number = self._locations.get(frame)
        if number is None:
            function = self._function(frame)
            number = self._locations[frame] = len(self._locations) + 1
            line = _number(1, function) + _number(2, frame.line)
            body = _number(1, number) + _number(2, 1) + _message(4, line)
            self._definitions.append(_message(4, body))
        return number

    def _function(self, frame: Frame) -> int:
        key = _function_name(frame), frame.function, frame.file
        number = self._functions.get(key)
        if number is None:
            number = self._functions[key] = len(self._functions) + 1
            strings = b"".join(
                _number(field, self._string(string)) for field, string in enumerate(key, 2)
            )
            self._definitions.append(_message(5, _number(1, number) + strings))
        return number


def last_delay(profile: Profile) -> str:
    """Return for how long all waits of a profile have waited, for people."""
    return f"{_duration(profile.delay)} for locks and {_duration(profile.gil_delay)} for the GIL"


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))


def _speedscope(profile: Profile) -> dict[str, Any]:
    frames: dict[tuple[str, str, int], int] = {}

    def number(name: str, file: str = "", line: int = 0) -> int:
        return frames.setdefault((name, file, line), len(frames))

    def numbers(sample: Sample, stack: Stack, thread: str) -> list[int]:
        places = [
            number(_function_name(frame), frame.file, frame.line) for frame in stack or (UNKNOWN,)
        ]
        return [number(thread or UNKNOWN.function), *places, number(f"[{sample.lock}]")]

    waits = [sample for sample in profile.samples if not sample.is_hold]
    holds = [sample for sample in profile.samples if sample.is_hold]
    parts = [
        ("delay, by waiters", waits, [sample.delay for sample in waits], False),
        ("delay, by holders", waits, [sample.delay for sample in waits], True),
        ("waiting for the GIL", waits, [sample.gil_delay for sample in waits], False),
        ("holding", holds, [sample.delay for sample in holds], False),
    ]
    profiles = [
        {
            "type": "sampled",
            "name": name,
            "unit": "nanoseconds",
            "startValue": 0,
            "endValue": sum(weights),
            "samples": [
                numbers(sample, sample.holder, sample.holding_thread)
                if by_holder
                else numbers(sample, sample.stack, sample.thread)
                for sample in samples
            ],
            "weights": weights,
        }
        for name, samples, weights, by_holder in parts
    ]
    described = [
        {"name": name, **({"file": file} if file else {}), **({"line": line} if line else {})}
        for name, file, line in frames
    ]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": "waits",
        "exporter": "golock",
        "activeProfileIndex": 0,
        "shared": {"frames": described},
        "profiles": profiles,
    }


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
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
