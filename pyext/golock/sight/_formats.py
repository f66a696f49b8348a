"""The formats in which a profile is written."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ._model import Frame, Stack

if TYPE_CHECKING:
    from ._samples import Profile, Sample

FORMATS: Final = {
    "pprof": (".pb.gz", ".pprof"),
    "collapsed": (".collapsed", ".folded", ".txt"),
    "speedscope": (".json",),
}
"""The formats, and the ends of names that stand for them."""


def of_name(path: str | os.PathLike[str]) -> str:
    """Return the format that the end of a file's name stands for, or raise ValueError."""
    name = os.fspath(path)
    for format_, ends in FORMATS.items():
        if name.endswith(ends):
            return format_
    raise ValueError(f"{name}: the name does not say which format; name one of {_names()}")


def encode(profile: Profile, format_: str) -> bytes:
    """Return a profile in one of `FORMATS`. Raises ValueError for another one."""
    if format_ == "pprof":
        return gzip.compress(pprof(profile), mtime=0)
    if format_ == "collapsed":
        return collapsed(profile).encode()
    if format_ == "speedscope":
        return json.dumps(speedscope(profile)).encode()
    raise ValueError(f"no such format: {format_!r}; the formats are {_names()}")


def _names() -> str:
    return ", ".join(FORMATS)


def pprof(profile: Profile) -> bytes:
    """Return a profile as pprof's protocol buffer, not compressed.

    Each wait is in it twice: at the waiter's stack with the label ``side`` = ``waiter``, and at the
    holder's with ``holder``. So the two have the same sums.
    """
    return _Pprof(profile).encode()


def collapsed(profile: Profile) -> str:
    """Return the waiters' stacks, one a line with its nanoseconds of delay.

    The outermost frame is the thread, the innermost one the lock. flamegraph.pl, speedscope and
    others read it.
    """
    totals: dict[str, int] = {}
    for sample in profile.samples:
        if not sample.is_hold:
            frames = [sample.thread, *map(_title, sample.stack), f"[{sample.lock}]"]
            line = ";".join(re.sub(r"[;\s]+", " ", frame) for frame in frames)
            totals[line] = totals.get(line, 0) + sample.delay
    return "".join(f"{line} {delay}\n" for line, delay in sorted(totals.items()))


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
        profile = self._profile
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
            f"{profile.waits} waits: {profile.delay / 1e9:.6g} s for locks, and then "
            f"{profile.gil_delay / 1e9:.6g} s for the GIL",
            "Each wait is here twice: with the label side=waiter, and with side=holder",
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
            _number(9, profile.began),
            _number(10, profile.nanoseconds),
            _message(11, self._type("delay", "nanoseconds")),
            _number(12, profile.period),
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


def speedscope(profile: Profile) -> dict[str, Any]:
    """Return a profile as a document of speedscope's file format."""
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
