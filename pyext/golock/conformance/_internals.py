"""The calls of cases about internals: private attributes, overrides, copies, own classes.

An object of golock works in C until its internals are used. So the cases look at objects in three
states: ``fresh``, made by ``__new__`` alone; ``new``, as its type makes it; and ``opened``, after a
look at its ``__dict__``.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any
from unittest import mock

from ._stage import Stage

Call = Callable[..., Any]


def _in_state(stage: Stage, state: str) -> Any:
    if state == "fresh":
        kind: Any = stage.type
        return kind.__new__(kind)
    thing = stage.another()
    if state == "opened":
        vars(thing)
    return thing


def _told(stage: Stage, call: Callable[[], Any]) -> Any:
    try:
        result = call()
    except Exception as error:
        return type(error).__name__
    return "callable" if callable(result) else stage.encode(result)


def _touched(thing: Any, stage: Stage, state: str, name: str) -> Any:
    """Read an attribute, set it, read it, delete it, read it; and delete that of another object."""
    one, other = _in_state(stage, state), _in_state(stage, state)
    steps: list[Callable[[], Any]] = [
        lambda: getattr(one, name),
        lambda: setattr(one, name, 7),
        lambda: getattr(one, name),
        lambda: delattr(one, name),
        lambda: getattr(one, name),
        lambda: delattr(other, name),
        lambda: getattr(other, name),
    ]
    return [_told(stage, step) for step in steps]


def _called(thing: Any, stage: Stage, state: str, name: str, *args: Any) -> Any:
    return getattr(_in_state(stage, state), name)(*args)


def _names(thing: Any, stage: Stage, state: str) -> Any:
    return sorted(vars(_in_state(stage, state)))


# What is called on an object, one after the other, to see which overrides it goes through.


def _held(condition: Any, name: str, *args: Any) -> Any:
    with condition:
        return getattr(condition, name)(*args)


def _nothing(thing: Any) -> Any:
    with thing as entered:
        return entered


def _broken(barrier: Any) -> Any:
    barrier.abort()
    return barrier.wait()


def _set_and_wait(event: Any) -> Any:
    event.set()
    return event.wait(0.001)


def _give_back(semaphore: Any) -> Any:
    return semaphore.acquire(), semaphore.release()


def _yes_at_last() -> Callable[[], Any]:
    answers = iter([False, 7])
    return lambda: next(answers)


SEMAPHORE: dict[str, Call] = {
    "acquire": lambda it: it.acquire(),
    "acquire(False)": lambda it: it.acquire(False),
    "acquire(timeout=0.001)": lambda it: (it.acquire(), it.acquire(timeout=0.001))[1],
    "with": _nothing,
    "release": lambda it: it.release(),
    "acquire and release": _give_back,
    "release(2)": lambda it: it.release(2),
    "release(0)": lambda it: it.release(0),
    "repr": lambda it: repr(it) and None,
}

SCRIPTS: dict[str, dict[str, Call]] = {
    "Condition": {
        "with": _nothing,
        "acquire": lambda it: it.acquire(),
        "wait(0)": lambda it: _held(it, "wait", 0),
        "wait, free": lambda it: it.wait(0),
        "wait_for": lambda it: _held(it, "wait_for", _yes_at_last(), 0.002),
        "wait_for, 0": lambda it: _held(it, "wait_for", lambda: False, 0),
        "notify": lambda it: _held(it, "notify"),
        "notify(0.5)": lambda it: _held(it, "notify", 0.5),
        "notify, free": lambda it: it.notify(),
        "notify_all": lambda it: _held(it, "notify_all"),
        "notifyAll": lambda it: _held(it, "notifyAll"),
        "_at_fork_reinit": lambda it: it._at_fork_reinit(),
        "repr": lambda it: repr(it) and None,
    },
    "Semaphore": SEMAPHORE,
    "BoundedSemaphore": SEMAPHORE,
    "Event": {
        "is_set": lambda it: it.is_set(),
        "isSet": lambda it: it.isSet(),
        "set": lambda it: it.set(),
        "clear": lambda it: it.clear(),
        "wait(0)": lambda it: it.wait(0),
        "set and wait": _set_and_wait,
        "_at_fork_reinit": lambda it: it._at_fork_reinit(),
        "repr": lambda it: repr(it) and None,
    },
    "Barrier": {
        "wait": lambda it: it.wait(),
        "wait(1)": lambda it: it.wait(1),
        "abort": lambda it: it.abort(),
        "reset": lambda it: it.reset(),
        "abort and wait": _broken,
        "parties": lambda it: it.parties,
        "n_waiting": lambda it: it.n_waiting,
        "broken": lambda it: it.broken,
        "repr": lambda it: repr(it) and None,
    },
}

PROPERTIES = {"parties", "n_waiting", "broken"}


def _override(name: str, seen: list[str], original: Call | None) -> Any:
    """Return what notes that it is called, and gives 5 or what the original gives."""

    def override(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return 5 if original is None else original(self)(*args, **kwargs)

    return property(override) if name in PROPERTIES else override


def _field(name: str, seen: list[str]) -> Any:
    """Return a property that keeps a field under another name, and notes its use."""

    def read(self: Any) -> Any:
        seen.append("read")
        return vars(self)["kept " + name]

    def write(self: Any, value: Any) -> None:
        seen.append("write")
        vars(self)["kept " + name] = value

    return property(read, write)


@contextmanager
def _overridden(stage: Stage, how: str, name: str, seen: list[str]) -> Iterator[Any]:
    """Give an object of which one attribute is overridden, in one of several ways."""
    plain = _override(name, seen, None)
    if how in ("super", "instead", "field"):
        body: dict[str, Any] = {}
        derived = type("Derived", (stage.type,), body)
        override = {
            "super": lambda: _override(
                name, seen, lambda self: getattr(super(derived, self), name)
            ),
            "instead": lambda: plain,
            "field": lambda: _field(name, seen),
        }[how]()
        setattr(derived, name, override)
        yield stage.made(derived)
    elif how == "the object's":
        thing = stage.another()
        setattr(thing, name, plain.__get__(thing) if callable(plain) else 5)
        yield thing
    else:
        # A class of its own, so that nobody else meets the patch.
        patched = type("Patched", (stage.type,), {name: getattr(stage.type, name)})
        thing = stage.made(patched) if how == "patched after" else None
        with mock.patch.object(patched, name, plain):
            yield stage.made(patched) if thing is None else thing


def _through(thing: Any, stage: Stage, how: str, name: str) -> Any:
    """Return which calls go through an override, and what they give."""
    found = []
    for label, script in SCRIPTS[stage.kind].items():
        seen: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _overridden(stage, how, name, seen) as overridden:
                seen.clear()
                told = _told(stage, lambda: script(overridden))  # noqa: B023
                if seen:
                    through = " ".join(dict.fromkeys(seen))
                    found.append(f"{label}: {through}, {told}")
    return found


def _patched(thing: Any, stage: Stage, name: str) -> Any:
    """Patch the type itself; say which calls on a used object meet it, and which do after."""
    found = []
    for label, script in SCRIPTS[stage.kind].items():
        seen: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            used = stage.another()
            _told(stage, lambda: script(used))  # noqa: B023
            fresh = stage.another()
            with mock.patch.object(stage.type, name, _override(name, seen, None)):
                told = [_told(stage, lambda: script(fresh))]  # noqa: B023
            met = bool(seen)
            seen.clear()
            told.append(_told(stage, lambda: script(stage.another())))  # noqa: B023
            if met or seen:
                found.append(f"{label}: {told[0]}, then {told[1]}{' still' * bool(seen)}")
    return found


# Classes of a program's own.


def _grows(base: type[Any]) -> type[Any]:
    """Return a semaphore whose size changes, as Celery's pool has it."""

    class Grows(base):  # type: ignore[misc]
        def grow(self) -> None:
            with self._cond:
                self._initial_value += 1
                self._value += 1
                self._cond.notify()

        def shrink(self) -> None:
            self._initial_value -= 1
            self.acquire()

        def release(self) -> None:
            with self._cond:
                if self._value < self._initial_value:
                    self._value += 1
                    self._cond.notify_all()

        def clear(self) -> None:
            while self._value < self._initial_value:
                base.release(self)

    return Grows


def _slots(base: type[Any]) -> type[Any]:
    class Slots(base):  # type: ignore[misc]
        __slots__ = ("slot",)

    return Slots


def _mixed(base: type[Any]) -> type[Any]:
    class Mixin:
        colours: tuple[str, ...] = ()

        def __init_subclass__(cls, colour: str = "none", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.colours = (*cls.colours, colour)

    class Mixed(base, Mixin, colour="red"):  # type: ignore[misc]
        pass

    class Further(Mixed):
        pass

    return Further


def _careless(base: type[Any]) -> type[Any]:
    class Careless(base):  # type: ignore[misc]
        def __init__(self, *args: Any) -> None:
            self.early = 1
            super().__init__(*args)
            self.late = 2

    return Careless


def _late(base: type[Any]) -> type[Any]:
    class Late(base):  # type: ignore[misc]
        def __init__(self) -> None:
            """Leave the base for later."""

        def begin(self, *args: Any) -> None:
            super().__init__(*args)

    return Late


DERIVED: dict[str, Callable[[Any], Any]] = {
    "Grows": _grows,
    "Slots": _slots,
    "Mixed": _mixed,
    "Careless": _careless,
    "Late": _late,
    "Plain": lambda base: type("Plain", (base,), {}),
}


def _of(thing: Any, stage: Stage, name: str, *args: Any) -> Any:
    return DERIVED[name](stage.type)(*args)


def _back_from_pickle(thing: Any, stage: Stage, *names: str) -> Any:
    """Pickle an object without some of its attributes, and return that which comes back."""
    kept = {name: vars(thing).pop(name) for name in names}
    try:
        return pickle.loads(pickle.dumps(thing))
    finally:
        vars(thing).update(kept)


def _type_text(thing: Any, stage: Stage, name: str) -> Any:
    """Name the interpreter's types without the second instance of their module."""
    return str(getattr(stage.type, name)).replace("interpreters_threading", "threading")


class _Tuple(tuple[Any, ...]):
    """What can be added to a number, and is no number."""

    __slots__ = ()

    def __radd__(self, other: Any) -> Any:
        return _Tuple((*self, "added"))

    def __sub__(self, other: Any) -> Any:
        return self

    def __gt__(self, other: object) -> bool:
        return True


INTERNALS: dict[str, Call] = {
    "touched": _touched,
    "called": _called,
    "names inside": _names,
    "goes through": _through,
    "patched type": _patched,
    "of class": _of,
    "colours": lambda thing, stage: list(thing.colours),
    "look": lambda thing, stage, name: attrgetter(name)(thing),
    "length": lambda thing, stage, name: len(attrgetter(name)(thing)),
    "new dict": lambda thing, stage: setattr(thing, "__dict__", {}),
    "alike": lambda thing, stage, other, name: getattr(thing, name) is getattr(other, name),
    "open": lambda thing, stage: vars(thing) and None,
    "back from pickle": _back_from_pickle,
    "copy of": lambda thing, stage: copy.copy(thing),
    "reduced by": lambda thing, stage, protocol: len(thing.__reduce_ex__(protocol)) > 1,
    "the type's": _type_text,
    "new with keywords": lambda thing, stage, *names: stage.factory(**dict.fromkeys(names, 1)),
    "with keywords": lambda thing, stage, call, *names: getattr(thing, call)(
        **dict.fromkeys(names, 1)
    ),
    "with a tuple": lambda thing, stage, call, *args: getattr(thing, call)(*args, _Tuple()),
}
