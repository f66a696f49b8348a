"""Decodes the image: all that golock.sight knows at one time, of this process or of another one.

``pyext/native/sight/image.h`` describes the format. Entries are decoded when they are accessed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar, overload

E = TypeVar("E")

MAGIC: Final = 0x3147494C4F474C47

STRING_ENDS, STRING_BYTES, FRAMES, STACKS, THREADS, OBJECTS = range(1, 7)
PERMITS, WAITS, SAMPLES, CYCLES, ORDER, ACROSS = range(7, 13)

WITH_GIL: Final = 0x1
FRAME_GO: Final = 0x1
THREAD_MAIN: Final = 0x1
OBJECT_HELD: Final = 0x1
OBJECT_STRANGER: Final = 0x2
OBJECT_SHARED: Final = 0x4
OBJECT_GO: Final = 0x8
ACROSS_HELD: Final = 0x1
ACROSS_OWN: Final = 0x2
ACROSS_ABANDONED: Final = 0x4
ACROSS_LOST: Final = 0x8
ACROSS_KNOWN: Final = 0x10
WAIT_SUSPENDED: Final = 0x1
WAIT_HAS_GIL: Final = 0x2
SAMPLE_HOLD: Final = 0x1
SAMPLE_UNDER_WAY: Final = 0x2
CYCLE_CERTAIN: Final = 0x1
CYCLE_MAIN_THREAD: Final = 0x2

GOROUTINE: Final = 1 << 63
OUTSIDE: Final = 1 << 62
LOST: Final = 1 << 61
IDENTIFIED: Final = 1 << 60
TASK: Final = 1 << 59
FOREVER: Final = (1 << 63) - 1
"""The deadline of a wait without one."""

KINDS: Final = (
    "object",
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Event",
    "Condition",
    "Barrier",
    "process.Lock",
    "etcd.Lock",
    "process.Event",
)


class Header(NamedTuple):
    magic: int
    level: int
    process: int
    now: int
    wall: int
    started: int
    period: int
    sections: int
    flags: int
    dropped_waits: int
    dropped_objects: int
    dropped_stacks: int
    dropped_samples: int
    dropped_order: int
    ended_waits: int
    delay: int
    gil_delay: int


class FrameEntry(NamedTuple):
    file: int
    function: int
    line: int
    flags: int


class StackEntry(NamedTuple):
    caller: int
    frame: int


class ThreadEntry(NamedTuple):
    key: int
    identifier: int
    native: int
    name: int
    flags: int
    number: int
    loop: int


class ObjectEntry(NamedTuple):
    address: int
    owner: int
    since: int
    stack: int
    created: int
    name: int
    value: int
    kind: int
    flags: int
    arrived: int


class AcrossEntry(NamedTuple):
    object: int
    token: int
    lease: int
    known: int
    name: int
    endpoints: int
    host: int
    program: int
    process: int
    slot: int
    waiting: int
    before: int
    flags: int


class PermitEntry(NamedTuple):
    object: int
    thread: int
    since: int
    stack: int
    number: int


class WaitEntry(NamedTuple):
    object: int
    thread: int
    since: int
    deadline: int
    taken: int
    stack: int
    flags: int


class SampleEntry(NamedTuple):
    thread: int
    object: int
    holding_thread: int
    thread_name: int
    holding_name: int
    stack: int
    holder: int
    created: int
    name: int
    kind: int
    flags: int
    number: int
    delay: int
    gil_delay: int


class OrderEntry(NamedTuple):
    circle: int
    thread_name: int
    thread: int
    first: int
    second: int
    first_created: int
    second_created: int
    first_name: int
    second_name: int
    first_stack: int
    second_stack: int
    first_kind: int
    second_kind: int


class Cycle(NamedTuple):
    flags: int
    waits: tuple[int, ...]
    """Indices of `Image.waits`."""


HEADER = Struct("<QIiqqqqII8Q")
SECTION = Struct("<IIQ")

# The fields that this version knows of each entry.
FIELDS = {
    STRING_ENDS: "I",
    STRING_BYTES: "B",
    FRAMES: "IIiI",
    STACKS: "II",
    THREADS: "QQIIIIQ",
    OBJECTS: "QQqIIIIBB2xI",
    PERMITS: "QQqII",
    WAITS: "QQqqqII",
    SAMPLES: "QQQIIIIIIIIQQQ",
    CYCLES: "I",
    ORDER: "IIQQQIIIIIIII",
    ACROSS: "QQqqIIIIIIIII4x",
}


class Table(Sequence[E]):
    """The entries of a section."""

    __slots__ = ("_body", "_count", "_make", "_struct")

    def __init__(
        self, fields: str, size: int, count: int, body: memoryview, make: Callable[[Any], E]
    ) -> None:
        self._struct = Struct(f"<{fields}{size - Struct(f'<{fields}').size}x")
        self._count, self._body, self._make = count, body, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[E]: ...
    def __getitem__(self, index: int | slice) -> E | Sequence[E]:
        if isinstance(index, slice):
            return [self[each] for each in range(self._count)[index]]
        place = range(self._count)[index] * self._struct.size
        return self._make(self._struct.unpack_from(self._body, place))

    def __iter__(self) -> Iterator[E]:
        return map(self._make, self._struct.iter_unpack(self._body))

    def keys(self) -> list[int]:
        """Return the first field of each entry, an integer of 64 bits."""
        if self._struct.size % 8 == 0 and sys.byteorder == "little":
            return self._body.cast("Q")[:: self._struct.size // 8].tolist()
        return [fields[0] for fields in self._struct.iter_unpack(self._body)]


class Image:
    """An image. Raises ValueError if the data is none.

    An entry with an index that its section does not have raises ValueError when the index is used.
    What a section that is missing would say is unknown.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        if len(view) < HEADER.size:
            raise ValueError(f"the image ends in its header, after {len(view)} bytes")
        self.header = Header._make(HEADER.unpack_from(view))
        if self.header.magic != MAGIC:
            raise ValueError("this is not an image of golock.sight, or one of another version")
        self._sections: dict[int, tuple[int, int, memoryview]] = {}
        place = HEADER.size
        for number in range(self.header.sections):
            if len(view) - place < SECTION.size:
                raise ValueError(f"the image ends before section {number + 1}")
            tag, size, count = SECTION.unpack_from(view, place)
            start = place + SECTION.size
            end = start + size * count
            place = (end + 7) & ~7
            if place > len(view):
                raise ValueError(f"the image ends in section {number + 1}")
            if tag in self._sections:
                raise ValueError(f"the image has two sections with the tag {tag}")
            if tag in FIELDS and size < Struct("<" + FIELDS[tag]).size:
                raise ValueError(f"the image has entries of {size} bytes in the section {tag}")
            self._sections[tag] = size, count, view[start:end]
        size, _, self._characters = self._sections.get(STRING_BYTES, (1, 0, view[:0]))
        if size != 1:
            raise ValueError(f"the image has characters of {size} bytes")
        self._ends = self._table(STRING_ENDS, _first)
        self._frames = self._table(FRAMES, FrameEntry._make)
        self._stacks = self._table(STACKS, StackEntry._make)
        self.threads = self._table(THREADS, ThreadEntry._make)
        self.objects = self._table(OBJECTS, ObjectEntry._make)
        self.permits = self._table(PERMITS, PermitEntry._make)
        self.waits = self._table(WAITS, WaitEntry._make)
        self.samples = self._table(SAMPLES, SampleEntry._make)
        self.order = self._table(ORDER, OrderEntry._make)
        self._across = self._table(ACROSS, AcrossEntry._make)

    def has(self, tag: int) -> bool:
        """Return whether the image has a section."""
        return tag in self._sections

    def string(self, index: int) -> str:
        """Return a string, or "" if it is unknown."""
        if not index or not (self.has(STRING_ENDS) and self.has(STRING_BYTES)):
            return ""
        if index >= len(self._ends):
            raise ValueError(f"the image has no string {index}")
        start, end = self._ends[index - 1], self._ends[index]
        if not start <= end <= len(self._characters):
            raise ValueError(f"the image has a string {index} outside its section")
        return str(self._characters[start:end], "utf-8", "backslashreplace")

    def frame(self, index: int) -> FrameEntry | None:
        """Return a frame, or None if it is unknown."""
        if not index or not self.has(FRAMES):
            return None
        if index >= len(self._frames):
            raise ValueError(f"the image has no frame {index}")
        return self._frames[index]

    def stack(self, index: int) -> list[int]:
        """Return the indices of a stack's frames, the innermost first."""
        frames: list[int] = []
        if not self.has(STACKS):
            return frames
        while index:
            if index >= len(self._stacks):
                raise ValueError(f"the image has no stack {index}")
            if len(frames) == len(self._stacks):
                raise ValueError(f"the image has a stack {index} that calls itself")
            index, frame = self._stacks[index]
            frames.append(frame)
        return frames

    def thread(self, key: int) -> ThreadEntry | None:
        """Return what is known of a thread."""
        index = self._thread_indices.get(key)
        return None if index is None else self.threads[index]

    def object(self, address: int) -> ObjectEntry | None:
        """Return what is known of a primitive."""
        index = self._object_indices.get(address)
        return None if index is None else self.objects[index]

    def across(self, address: int) -> AcrossEntry | None:
        """Return what is known of a lock of several processes, beside the object."""
        index = self._across_indices.get(address)
        return None if index is None else self._across[index]

    @cached_property
    def cycles(self) -> list[Cycle]:
        """The deadlocks."""
        numbers = list(self._table(CYCLES, _first))
        cycles, place = [], 0
        while place < len(numbers):
            waits = tuple(numbers[place + 2 : place + 2 + numbers[place]])
            if not waits or len(waits) < numbers[place]:
                raise ValueError("the image has a deadlock without its members")
            if max(waits) >= len(self.waits):
                raise ValueError("the image has a deadlock without its waits")
            cycles.append(Cycle(numbers[place + 1], waits))
            place += 2 + len(waits)
        return cycles

    @cached_property
    def _thread_indices(self) -> dict[int, int]:
        return dict(zip(self.threads.keys(), range(len(self.threads)), strict=True))

    @cached_property
    def _object_indices(self) -> dict[int, int]:
        return dict(zip(self.objects.keys(), range(len(self.objects)), strict=True))

    @cached_property
    def _across_indices(self) -> dict[int, int]:
        return dict(zip(self._across.keys(), range(len(self._across)), strict=True))

    def _table(self, tag: int, make: Callable[[Any], E]) -> Table[E]:
        fields = FIELDS[tag]
        empty = Struct("<" + fields).size, 0, memoryview(b"")
        return Table(fields, *self._sections.get(tag, empty), make)


def _first(fields: tuple[int]) -> int:
    return fields[0]
