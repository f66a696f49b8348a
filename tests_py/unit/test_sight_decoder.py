"""The decoder of images: those made by hand, longer ones, and what is none."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golock.sight import _image, _model
from golock.sight._image import Image
from sight_images import NOW, SECOND, Maker

HEADER = Path(__file__).parents[2] / "pyext" / "native" / "sight" / "image.h"
LOAD = ("app.py", 12, "load")
SAVE = ("app.py", 30, "save")
MAIN = ("app.py", 50, "main")


def made():
    maker = Maker(dropped=(1, 2, 3, 4, 5), period=10_000)
    maker.thread(7, "MainThread", identifier=140, native=99, main=True)
    maker.thread(_image.GOROUTINE | 18)
    maker.object(0x1000, owner=7, ago=2, stack=[LOAD], created=LOAD, flags=_image.OBJECT_HELD)
    maker.object(0x2000, "Semaphore", value=3, name="the pool")
    maker.wait(0x1000, 7, ago=0.5, stack=[MAIN, SAVE, LOAD])
    maker.wait(0x2000, _image.GOROUTINE | 18, left=2, flags=_image.WAIT_HAS_GIL)
    maker.permit(0x2000, 7, number=2)
    maker.sample(7, 0x1000, stack=[MAIN, SAVE], holder=[MAIN], number=5, delay=17, gil_delay=3)
    maker.cycle(0, 1, certain=False, main=True)
    maker.cycle(1)
    maker.order(1, ("Lock", "", LOAD), ("RLock", "b", None), thread=7, first_stack=[MAIN])
    return maker


def check(image):
    assert image.header.process == 4711
    assert (image.header.now, image.header.period) == (NOW, 10_000)
    assert image.header[9:14] == (1, 2, 3, 4, 5)
    thread = image.thread(7)
    assert thread == (7, 140, 99, thread.name, _image.THREAD_MAIN, 0, 0)
    assert image.string(thread.name) == "MainThread"
    assert [each.key for each in image.threads] == [7, _image.GOROUTINE | 18]
    first, second = image.objects
    assert (first.address, first.owner, first.since) == (0x1000, 7, NOW - 2 * SECOND)
    assert image.object(0x2000) == image.objects[1] == second == image.objects[-1]
    assert (second.kind, second.value, image.string(second.name)) == (3, 3, "the pool")
    assert image.object(0x3000) is None
    wait, limited = image.waits[:]
    assert (wait.deadline, limited.deadline) == (_image.FOREVER, NOW + 2 * SECOND)
    assert limited.flags == _image.WAIT_HAS_GIL
    lines = [image.frame(frame).line for frame in image.stack(wait.stack)]
    assert lines == [12, 30, 50]
    (permit,) = image.permits
    assert permit == (0x2000, 7, NOW - SECOND, 0, 2)
    (sample,) = image.samples
    assert (sample.number, sample.delay, sample.gil_delay) == (5, 17, 3)
    assert image.stack(sample.holder) == image.stack(sample.stack)[1:]
    assert image.cycles == [(_image.CYCLE_MAIN_THREAD, (0, 1)), (_image.CYCLE_CERTAIN, (1,))]
    (edge,) = image.order
    assert (edge.circle, edge.thread, image.string(edge.second_name)) == (1, 7, "b")


FIELD = re.compile(r"(u?int\d+)_t ([^;]+);")
CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q"}


def codes(declarations):
    """Return the fields of a struct of C as the module struct writes them."""
    fields = ""
    for kind, names in FIELD.findall(re.sub(r"/\*.*?\*/", "", declarations, flags=re.DOTALL)):
        fields += CODES[kind] * len(names.split(","))
    return fields


@pytest.mark.skipif(not HEADER.exists(), reason="no sources beside the tests")
def test_the_decoder_knows_the_fields_of_the_header_file():
    text = HEADER.read_text(encoding="utf-8")
    structs = dict(re.findall(r"struct golock_image_(\w+) \{\n(.*?)\n\};", text, re.DOTALL))
    tags = {
        "frame": _image.FRAMES,
        "stack": _image.STACKS,
        "thread": _image.THREADS,
        "object": _image.OBJECTS,
        "permit": _image.PERMITS,
        "wait": _image.WAITS,
        "sample": _image.SAMPLES,
        "order": _image.ORDER,
        "across": _image.ACROSS,
    }
    assert set(structs) == {"header", "section", *tags}
    expected = {name: codes(declarations) for name, declarations in structs.items()}
    known = {name: _image.FIELDS[tag] for name, tag in tags.items()}
    known |= {"header": _image.HEADER.format, "section": _image.SECTION.format}
    padding = {"4x": "I", "2x": "H", "8Q": "Q" * 8, "<": ""}
    for short, long in padding.items():
        known = {name: fields.replace(short, long) for name, fields in known.items()}
    assert known == expected


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview])
def test_image(container):
    check(Image(container(made().image())))


@pytest.mark.parametrize("longer", [1, 4, 8, 24])
def test_entries_of_a_later_version_are_longer(longer):
    check(Image(made().image(longer=longer)))


def test_sections_of_a_later_version_are_skipped():
    more = [(40, 3, [b"abc"] * 5), (2**32 - 1, 0, [])]
    check(Image(made().image(more=more)))


@pytest.mark.parametrize("without", range(1, 13))
def test_what_a_missing_section_would_say_is_unknown(without):
    snapshot = _model.decode(made().image(without=[without, _image.CYCLES]))
    snapshot.as_json()


def test_what_is_unknown():
    image = Image(Maker().image())
    assert (image.string(0), image.frame(0), image.stack(0)) == ("", None, [])
    assert (list(image.waits), image.cycles) == ([], [])


def everything(data):
    snapshot = _model.decode(data)
    snapshot.as_json()
    str(snapshot)
    image = Image(data)
    for sample in image.samples:
        image.stack(sample.stack)
        image.stack(sample.holder)


def sentence(error):
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("length", range(0, 2000, 7))
def test_a_part_of_an_image(length):
    image = made().image()
    if length < len(image):
        with pytest.raises(ValueError, match="ends") as error:
            everything(image[:length])
        sentence(error)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (0, 1, "not an image"),
        (48, 2**31, "ends before section"),
        (_image.HEADER.size + 4, 0, "entries of 0 bytes"),
        (_image.HEADER.size + 4, 2**30, "ends in section 1"),
        (_image.HEADER.size + 8, 2**20, "ends in section 1"),
    ],
)
def test_a_damaged_image(place, value, says):
    image = bytearray(made().image())
    image[place : place + 4] = struct.pack("<I", value)
    with pytest.raises(ValueError, match=says) as error:
        everything(image)
    sentence(error)


def test_a_section_that_comes_twice():
    with pytest.raises(ValueError, match="two sections"):
        Image(made().image(more=[(_image.WAITS, 48, [])]))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda maker: maker.entries[_image.STACKS].append((9, 9)), "no stack 9"),
        (lambda maker: maker.entries[_image.STACKS].append((1, 1)), "calls itself"),
        (lambda maker: maker.entries[_image.STACKS].append((0, 9)), "no frame 9"),
        (lambda maker: maker.cycle(0, 9), "without its waits"),
        (lambda maker: maker.numbers.extend([3, 0, 1]), "without its members"),
        (lambda maker: maker.numbers.extend([0, 0]), "without its members"),
        (lambda maker: maker.numbers.append(2), "without its members"),
    ],
)
def test_an_index_of_nothing(spoil, says):
    maker = Maker()
    spoil(maker)
    maker.thread(1)
    maker.wait(0x1000, 1)
    maker.entries[_image.WAITS][0] = (*maker.entries[_image.WAITS][0][:5], 1, 0)
    with pytest.raises(ValueError, match=says) as error:
        everything(maker.image())
    sentence(error)


def test_a_string_outside_its_section():
    spoiled = made().image(without=[_image.STRING_BYTES], more=[(_image.STRING_BYTES, 1, [b"x"])])
    with pytest.raises(ValueError, match="outside its section"):
        everything(spoiled)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_garbage(data):
    with pytest.raises(ValueError, match=r".") as error:
        everything(data)
    sentence(error)


@settings(deadline=None)
@given(st.data())
def test_garbage_within_an_image(data):
    image = bytearray(made().image())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(image) - 1))
        if data.draw(st.booleans()):
            image[place] = data.draw(st.integers(0, 255))
        else:
            word = data.draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
            packed = struct.pack("<Q", word)[: 4 if word < 2**32 else 8]
            image[place : place + len(packed)] = packed
    failure = "nothing"
    try:
        everything(image)
    except ValueError as error:
        failure = str(error)
    assert re.fullmatch(".+", failure)


def test_names_that_are_not_text():
    maker = Maker()
    maker.thread(1, "x")
    image = maker.image().replace(b"x\0\0\0\0\0\0\0", b"\xff\0\0\0\0\0\0\0")
    (thread,) = _model.decode(image).threads
    assert thread.name == "\\xff"
