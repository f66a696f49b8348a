"""Makes images of golock.sight by hand, as pyext/native/sight/image.h describes them."""

from __future__ import annotations

import struct

from golock.sight import _image

NOW = 1_000_000_000_000
SECOND = 1_000_000_000
FIELDS = {
    _image.FRAMES: "<IIiI",
    _image.STACKS: "<II",
    _image.THREADS: "<QQIIIIQ",
    _image.OBJECTS: "<QQqIIIIBBHI",
    _image.PERMITS: "<QQqII",
    _image.WAITS: "<QQqqqII",
    _image.SAMPLES: "<QQQIIIIIIIIQQQ",
    _image.ORDER: "<IIQQQIIIIIIII",
    _image.ACROSS: "<QQqqIIIIIIIIII",
}
KINDS = {name: number for number, name in enumerate(_image.KINDS)}


class Maker:
    """Collects what an image says; times are given in seconds before now."""

    def __init__(
        self, level=2, flags=_image.WITH_GIL, period=0, dropped=(0, 0, 0, 0, 0), started=60
    ):
        self.level, self.flags, self.period, self.dropped = level, flags, period, dropped
        self.texts = [""]
        self.entries = {tag: [] for tag in FIELDS}
        self.entries[_image.FRAMES].append((0, 0, 0, 0))
        self.entries[_image.STACKS].append((0, 0))
        self.numbers = []
        self.started = started
        self.ended = (0, 0, 0)

    def string(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def _index(self, tag, entry):
        if entry not in self.entries[tag]:
            self.entries[tag].append(entry)
        return self.entries[tag].index(entry)

    def frame(self, file, line, function, flags=0):
        return self._index(_image.FRAMES, (self.string(file), self.string(function), line, flags))

    def stack(self, *frames):
        """Add a stack of (file, line, function), the outermost first."""
        stack = 0
        for frame in frames:
            stack = self._index(_image.STACKS, (stack, self.frame(*frame)))
        return stack

    def thread(self, key, name="", identifier=0, native=0, main=False, *, number=0, loop=0):
        self.entries[_image.THREADS].append(
            (key, identifier or key % 2**32, native, self.string(name), int(main), number, loop)
        )
        return key

    def object(
        self,
        address,
        kind="Lock",
        *,
        owner=0,
        ago=None,
        stack=(),
        created=None,
        name="",
        value=0,
        flags=0,
        arrived=0,
    ):
        self.entries[_image.OBJECTS].append(
            (
                address,
                owner,
                self.moment(ago),
                self.stack(*stack),
                self.stack(created) if created else 0,
                self.string(name),
                value,
                KINDS.get(kind, kind),
                flags,
                0,
                arrived,
            )
        )
        return address

    def wait(self, address, thread, *, ago=1, left=None, taken=None, stack=(), flags=0):
        deadline = _image.FOREVER if left is None else NOW + int(left * SECOND)
        self.entries[_image.WAITS].append(
            (
                address,
                thread,
                self.moment(ago),
                deadline,
                self.moment(taken),
                self.stack(*stack),
                flags,
            )
        )
        return len(self.entries[_image.WAITS]) - 1

    def permit(self, address, thread, *, ago=1, stack=(), number=1):
        self.entries[_image.PERMITS].append(
            (address, thread, self.moment(ago), self.stack(*stack), number)
        )

    def sample(
        self,
        thread,
        address,
        *,
        stack=(),
        holder=(),
        created=None,
        name="",
        kind="Lock",
        flags=0,
        number=1,
        delay=0,
        gil_delay=0,
        holding_thread=0,
        thread_name="",
        holding_name="",
    ):
        self.entries[_image.SAMPLES].append(
            (
                thread,
                address,
                holding_thread,
                self.string(thread_name),
                self.string(holding_name),
                self.stack(*stack),
                self.stack(*holder),
                self.stack(created) if created else 0,
                self.string(name),
                KINDS[kind],
                flags,
                number,
                delay,
                gil_delay,
            )
        )

    def across(
        self,
        address,
        *,
        name="",
        process=0,
        slot=0,
        host="",
        program="",
        endpoints="",
        token=0,
        left=None,
        known=None,
        waiting=0,
        before=0,
        flags=_image.ACROSS_KNOWN,
    ):
        """Add what is known of a lock of several processes."""
        lease = 0 if left is None else NOW + int(left * SECOND)
        texts = [self.string(text) for text in (name, endpoints, host, program)]
        self.entries[_image.ACROSS].append(
            (
                address,
                token,
                lease,
                self.moment(known),
                *texts,
                process,
                slot,
                waiting,
                before,
                flags,
                0,
            )
        )

    def cycle(self, *waits, certain=True, main=False):
        flags = certain * _image.CYCLE_CERTAIN | main * _image.CYCLE_MAIN_THREAD
        self.numbers += [len(waits), flags, *waits]

    def order(self, circle, first, second, *, thread=0, first_stack=(), second_stack=(), who=""):
        """Add an edge; a lock is (kind, name, created)."""
        locks = (first, second)
        self.entries[_image.ORDER].append(
            (
                circle,
                self.string(who),
                thread,
                0x1000,
                0x2000,
                *[self.stack(created) if created else 0 for _, _, created in locks],
                *[self.string(name) for _, name, _ in locks],
                self.stack(*first_stack),
                self.stack(*second_stack),
                *[KINDS[kind] for kind, _, _ in locks],
            )
        )

    @staticmethod
    def moment(ago):
        return 0 if ago is None else NOW - int(ago * SECOND)

    def sections(self):
        """Return (tag, size of an entry, entries) for each section."""
        texts = [text.encode() for text in self.texts]
        ends = [sum(map(len, texts[: index + 1])) for index in range(len(texts))]
        yield _image.STRING_ENDS, 4, [struct.pack("<I", end) for end in ends]
        yield _image.STRING_BYTES, 1, [bytes([each]) for each in b"".join(texts)]
        yield _image.CYCLES, 4, [struct.pack("<I", number) for number in self.numbers]
        for tag, fields in FIELDS.items():
            entries = [struct.pack(fields, *entry) for entry in self.entries[tag]]
            yield tag, struct.calcsize(fields), entries

    def image(self, *, longer=0, without=(), more=()):
        """Return the image; with `longer` bytes at the end of each entry, and sections `more`."""
        made = [each for each in self.sections() if each[0] not in without]
        parts = [
            struct.pack(
                "<QIiqqqqII8Q",
                _image.MAGIC,
                self.level,
                4711,
                NOW,
                1_700_000_000 * SECOND,
                self.moment(self.started),
                self.period,
                len(made) + len(more),
                self.flags,
                *self.dropped,
                *self.ended,
            )
        ]
        for tag, size, entries in [*more, *made]:
            extra = 0 if tag == _image.STRING_BYTES else longer
            body = b"".join(entry + b"\xff" * extra for entry in entries)
            parts += [struct.pack("<IIQ", tag, size + extra, len(entries)), body]
            parts.append(bytes(-len(body) % 8))
        return b"".join(parts)
