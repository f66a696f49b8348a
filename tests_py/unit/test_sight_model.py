"""What a snapshot says of an image made by hand, as objects and as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from golock import sight
from golock.sight import _image, _model
from sight_images import Maker

CREATE = ("/src/app.py", 12, "load")
TAKE = ("/src/app.py", 30, "save")
MAIN = ("/src/app.py", 50, "main")
GO = ("/src/main.go", 7, "main.work", _image.FRAME_GO)
GOROUTINE = _image.GOROUTINE | 18
HELD, FREE = _image.OBJECT_HELD, 0


def decode(maker):
    return _model.decode(maker.image())


def lock(kind="Lock", **fields):
    """Return the one lock of an image in which the thread 7 is named."""
    maker = Maker()
    maker.thread(7, "clerk", identifier=140, native=99)
    maker.object(0x1000, kind, **fields)
    (found,) = decode(maker).locks
    return found


def test_a_lock_that_is_held():
    held = lock(owner=7, ago=2, stack=[TAKE], created=CREATE, flags=HELD)
    assert (held.id, held.kind, held.state) == (0x1000, "Lock", "held")
    assert held.holder == sight.Thread(7, "Python", "clerk", 140, 99, False)
    assert (held.holder_known, held.held_for) == (True, 2.0)
    assert held.acquired_at == (sight.Frame(*TAKE),)
    assert held.created_at == sight.Frame(*CREATE)
    assert held.value is held.parties is held.missing is held.last_ago is None
    assert not (held.is_shared)
    assert not (held.is_go)
    assert not (held.released_by_another)


def test_a_holder_that_is_not_recorded_is_unknown():
    held = lock(flags=HELD)
    assert (held.state, held.holder, held.holder_known) == ("held", None, False)
    assert (held.held_for, held.acquired_at) == (None, ())


def test_nobody_holds_a_free_lock():
    free = lock(owner=7, ago=2, stack=[TAKE])
    assert (free.state, free.holder, free.holder_known) == ("free", None, True)
    assert (free.held_for, free.acquired_at) == (None, ())


def test_flags():
    marked = lock(flags=_image.OBJECT_STRANGER | _image.OBJECT_SHARED | _image.OBJECT_GO)
    assert marked.is_shared
    assert marked.is_go
    assert marked.released_by_another


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "the table", "created": CREATE}, "the table"),
        ({"created": CREATE}, "Lock app.py:12 (load)"),
        ({}, "Lock at 0x1000"),
        ({"kind": "Event", "created": CREATE}, "Event app.py:12 (load)"),
        ({"kind": 99}, "object at 0x1000"),
    ],
)
def test_name(fields, name):
    assert lock(**fields).name == name


def test_an_rlock_has_a_depth():
    assert lock("RLock", owner=7, value=3, flags=HELD).value == 3


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore(kind):
    some, none = lock(kind, value=3), lock(kind, flags=HELD)
    assert (some.state, some.value) == ("available", 3)
    assert (none.state, none.value) == ("exhausted", 0)
    assert some.holder is none.holder is None
    assert not none.holder_known


def test_an_event():
    event = lock("Event", owner=7, ago=3, stack=[TAKE], flags=HELD)
    assert (event.state, event.last_set_by.name, event.last_ago) == ("set", "clerk", 3.0)
    assert event.last_at == (sight.Frame(*TAKE),)
    assert event.holder is event.held_for is event.last_notified_by is None
    assert lock("Event").state == "clear"


def test_a_condition():
    condition = lock("Condition", owner=7, ago=3, stack=[TAKE])
    assert (condition.state, condition.last_notified_by.name) == ("", "clerk")
    assert (condition.last_ago, condition.last_set_by, condition.holder) == (3.0, None, None)


def test_a_barrier():
    maker = Maker()
    maker.thread(7, "clerk")
    maker.object(0x1000, "Barrier", value=3, arrived=2)
    maker.wait(0x1000, 7)
    maker.wait(0x1000, GOROUTINE)
    (barrier,) = decode(maker).locks
    assert (barrier.parties, barrier.missing) == (3, 1)
    assert [thread.name for thread in barrier.waiting] == ["clerk", "goroutine 18"]


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        (GOROUTINE, "goroutine", "goroutine 18"),
        (_image.OUTSIDE, "outside Python", "outside Python"),
        (_image.LOST, "lost", "a thread that did not survive a fork"),
        (_image.IDENTIFIED | 0x7F01, "Python", "thread 0x7f01"),
        (7, "Python", "thread 7"),
        (0, "unknown", "an unknown thread"),
    ],
)
def test_a_thread_without_a_record(key, kind, name):
    maker = Maker()
    maker.wait(0x1000, key)
    (wait,) = decode(maker).waits
    assert (wait.thread.key, wait.thread.kind, wait.thread.name) == (key, kind, name)
    assert (wait.thread.native_id, wait.thread.is_main) == (None, False)


def test_the_main_thread():
    maker = Maker()
    maker.thread(1, "MainThread", main=True)
    maker.thread(2)
    main, other = decode(maker).threads
    assert (main.is_main, other.is_main) == (True, False)
    assert other.name == "thread 0x2"


def test_a_wait():
    maker = Maker()
    maker.thread(7, "clerk")
    maker.object(0x1000, name="the table", owner=GOROUTINE, flags=HELD)
    maker.wait(0x1000, 7, ago=1.5, stack=[MAIN, TAKE])
    (wait,) = decode(maker).waits
    assert (wait.thread.name, wait.lock.name) == ("clerk", "the table")
    assert wait.lock.holder.name == "goroutine 18"
    assert (wait.seconds, wait.gil_seconds, wait.limited, wait.remaining) == (
        1.5,
        None,
        False,
        None,
    )
    assert wait.stack == (sight.Frame(*MAIN), sight.Frame(*TAKE))
    assert not (wait.is_suspended)
    assert not (wait.has_gil)


def test_a_wait_with_a_limit():
    maker = Maker()
    maker.wait(0x1000, 7, left=2.5)
    (wait,) = decode(maker).waits
    assert (wait.limited, wait.remaining) == (True, 2.5)
    assert wait.lock.name == "object at 0x1000"


def test_a_wait_for_the_gil():
    maker = Maker()
    maker.wait(0x1000, 7, ago=3, taken=1)
    (wait,) = decode(maker).waits
    assert (wait.seconds, wait.gil_seconds) == (2.0, 1.0)


def test_what_else_a_wait_may_be():
    maker = Maker()
    maker.wait(0x1000, 7, flags=_image.WAIT_SUSPENDED)
    maker.wait(0x1000, GOROUTINE, stack=[GO], flags=_image.WAIT_HAS_GIL)
    suspended, with_gil = decode(maker).waits
    assert (suspended.is_suspended, suspended.has_gil) == (True, False)
    assert (with_gil.is_suspended, with_gil.has_gil) == (False, True)
    assert with_gil.stack == (sight.Frame("/src/main.go", 7, "main.work", True),)


def full():
    """Return an image with something of everything."""
    maker = Maker(level=3, dropped=(1, 2, 3, 4, 5))
    maker.ended = (6, 7_000_000_000, 8_000_000)
    maker.thread(1, "MainThread", identifier=139, native=98, main=True)
    maker.thread(7, "clerk", identifier=140, native=99)
    maker.object(0x1000, owner=7, ago=2, stack=[TAKE], created=CREATE, flags=HELD)
    maker.object(0x2000, "RLock", owner=1, ago=1, value=1, name="b", flags=HELD)
    maker.object(0x3000, "Semaphore", value=3)
    maker.object(0x4000, "Event", owner=GOROUTINE, ago=1)
    maker.object(0x5000, "Condition", owner=7)
    maker.object(0x6000, "Barrier", value=2, arrived=1)
    first = maker.wait(0x1000, 1, ago=1, stack=[MAIN])
    second = maker.wait(0x2000, 7, ago=0.5, stack=[MAIN, TAKE])
    maker.wait(0x6000, GOROUTINE, left=4)
    maker.wait(0x7000, _image.OUTSIDE)
    maker.permit(0x3000, 7, ago=3, number=2, stack=[TAKE])
    maker.cycle(first, second, main=True)
    maker.order(1, ("Lock", "", CREATE), ("RLock", "b", None), thread=7, first_stack=[MAIN])
    maker.order(1, ("RLock", "b", None), ("Lock", "", CREATE), thread=99, who="gone")
    maker.order(2, ("Lock", "x", None), ("Lock", "y", None))
    return maker


def test_snapshot():
    snapshot = decode(full())
    assert (snapshot.level, snapshot.process, snapshot.time) == ("order", 4711, 1.7e9)
    assert (snapshot.recorded_for, snapshot.names_are_current) == (60.0, True)
    assert snapshot.dropped == sight.Dropped(1, 2, 3, 4, 5)
    assert snapshot.ended == sight.Totals(6, 7.0, 0.008)
    (permit,) = snapshot.permits
    assert (permit.lock.id, permit.thread.name, permit.count) == (0x3000, "clerk", 2)
    assert (permit.held_for, permit.acquired_at) == (3.0, (sight.Frame(*TAKE),))
    (deadlock,) = snapshot.deadlocks
    assert deadlock.waits == tuple(snapshot.waits[:2])
    assert (deadlock.certain, deadlock.has_main_thread) == (True, True)


def test_order():
    circle, other = decode(full()).order
    there, back = circle.edges
    assert (there.first, there.second) == ("Lock app.py:12 (load)", "b")
    assert (back.first, back.second) == (there.second, there.first)
    assert (there.first_at, there.second_at) == ((sight.Frame(*MAIN),), ())
    assert (there.thread.name, back.thread.name) == ("clerk", "gone")
    assert [(edge.first, edge.second) for edge in other.edges] == [("x", "y")]


def test_names_may_be_old():
    assert not decode(Maker(flags=0)).names_are_current


def test_items_are_sequences():
    snapshot = decode(full())
    assert len(snapshot.locks) == 6
    assert snapshot.locks[-1] == snapshot.locks[5]
    assert list(snapshot.locks)[1:3] == list(snapshot.locks[1:3])
    assert snapshot.threads[0] in snapshot.threads
    with pytest.raises(IndexError):
        snapshot.waits[4]


@pytest.mark.parametrize(
    "name",
    ["Deadlock", "Dropped", "Edge", "Frame", "Lock", "OrderCycle", "Permit", "Snapshot", "Thread"],
)
def test_classes_are_frozen(name):
    made = getattr(sight, name)
    assert made.__dataclass_params__.frozen
    assert made.__doc__
    fields = [field.name for field in dataclasses.fields(made)]
    values = made(*[None] * len(fields))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(values, fields[0], 1)


def test_str_of_a_deadlock():
    (deadlock,) = decode(full()).deadlocks
    assert str(deadlock).splitlines() == [
        "Deadlock of 2 threads:",
        "MainThread has waited 1.0 s for Lock app.py:12 (load), which clerk holds:",
        '  File "/src/app.py", line 50, in main',
        "  clerk took it at:",
        '  File "/src/app.py", line 30, in save',
        "clerk has waited 0.5 s for b, which MainThread holds:",
        '  File "/src/app.py", line 50, in main',
        '  File "/src/app.py", line 30, in save',
        "A signal handler that raises may end the wait of the main thread.",
    ]


SCHEMA = json.loads(
    (Path(_model.__file__).parent / "snapshot.schema.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("maker", [Maker(level=0), full()])
def test_json_is_what_the_schema_describes(maker):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(json.dumps(decode(maker).as_json()))
    validator = jsonschema.Draft202012Validator
    validator.check_schema(SCHEMA)
    assert list(validator(SCHEMA).iter_errors(document)) == []


def test_json_refers_to_what_it_has():
    document = decode(full()).as_json()
    keys = [thread["key"] for thread in document["threads"]]
    ids = [lock["id"] for lock in document["locks"]]
    assert len(keys) == len(set(keys)) == 6  # two with a record, and four without
    assert len(ids) == len(set(ids)) == 7
    waits = [*document["waits"], *document["deadlocks"][0]["waits"]]
    assert {wait["thread"] for wait in waits} <= set(keys)
    assert {wait["lock"] for wait in waits} <= set(ids)
    assert {lock["holder"] for lock in document["locks"]} == {None, "1", "7"}
    assert document["threads"][0] == {
        "key": "1",
        "kind": "Python",
        "name": "MainThread",
        "identifier": 139,
        "native_id": 98,
        "is_main": True,
        "loop": None,
    }
    assert document["order"][0][1]["thread"] in keys
