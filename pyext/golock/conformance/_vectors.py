"""The cases in the JSON files, one file a type: what is called, and what CPython answers.

A case has a name, a group, a start state, steps, and the state after them (``_state.py`` says what
the states are). It holds for the interpreters from ``since`` up to, not including, ``before``
(``"3.12"`` or ``"3.13.1"``); no bound, no limit. ``make`` gives the arguments the object under test
is made with, and ``objects`` others, by name, that are made before it.

A step names a method, or a call of ``_calls.py``, with its arguments. It says either what the call
``returns``, or the exception it ``raises`` (with the ``message`` of the newest CPython it holds
for, ``{type}`` standing for the type's name, ``{RLock}`` for another's), or that it ``blocks``;
then a later step says what it gave: ``comes back``, or, where several threads block, ``comes back
first``, which gives a thread's name, or ``come back and release``. The method is that of the object
under test, or of the one that ``on`` names. ``in`` names the thread that makes the call, in place
of the case's own. ``as`` keeps the result as an object. A case marked ``go`` speaks of blocking and
timeout alone, and is replayed on the Go API too.

What JSON cannot say is an object with one key. Among arguments:

- ``{"$float": "nan"}``, ``{"$int": "1180591620717411303424"}``, ``{"$complex": [0, 1]}``,
  ``{"$bytes": "1"}``, ``{"$decimal": "0.001"}``, ``{"$fraction": "1/2"}``,
  ``{"$exception": "ValueError"}``
- ``{"$index": 1}``, ``{"$number": 0.001}``, ``{"$truth": false}``: an object with ``__index__``,
  ``__float__`` or ``__bool__`` alone
- ``{"$raises": "ZeroDivisionError"}``: an object whose conversions raise
- ``{"$plain": "object"}``: an object with nothing
- ``{"$the": "name"}``: one of the case's objects, or, in its steps, ``self``
- ``{"$new": "RLock"}``: a new object of that type; ``{"$interpreter": "RLock"}``: the
  interpreter's; ``{"$user": "Minimal"}``: a lock of ``_user_locks.py``
- ``{"$giving": [false, 7]}``: a function that returns these in turn, and the last for ever;
  ``{"$raising": "ValueError"}``: one that raises; ``{"$calling": ["self", "reset"]}``: one that
  calls a method of an object; ``{"$opening": "self"}``: one that looks at its ``__dict__``

Among results ``{"$new": "free"}`` is a new object in that state, ``{"$the": "self"}`` the object
itself or another of the case's, and ``{"$type": "tuple"}`` any object of that type.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent

KINDS = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
FILES = {
    "Lock": "lock.json",
    "RLock": "rlock.json",
    "Condition": "condition.json",
    "Semaphore": "semaphore.json",
    "BoundedSemaphore": "bounded_semaphore.json",
    "Event": "event.json",
    "Barrier": "barrier.json",
}


class Outcome(NamedTuple):
    """What a call gave: a value as JSON has it, or an exception's type and message."""

    kind: str
    value: Any
    message: str = ""

    def same_as(self, other: Outcome) -> bool:
        """Return whether both are the same answer, messages aside; ``1`` is not ``True``."""
        return self.kind == other.kind and json.dumps(self.value) == json.dumps(other.value)

    def __str__(self) -> str:
        if self.kind == "raises":
            return f"{self.value}: {self.message}" if self.message else str(self.value)
        return _shown(self.value) if self.kind == "returns" else self.kind


def _shown(value: Any) -> str:
    """Return a result as Python would write it, and objects as ``<new, free>`` or ``<tuple>``."""
    if isinstance(value, list):
        return f"[{', '.join(_shown(part) for part in value)}]"
    if isinstance(value, dict) and len(value) == 1:
        ((key, content),) = value.items()
        return f"<new, {content}>" if key == "$new" else f"<{content}>"
    return repr(value)


BLOCKS = Outcome("blocks", None)
HANGS = Outcome("hangs", None)


class Step(NamedTuple):
    """One call and what it must give."""

    call: str
    args: list[Any]
    kwargs: dict[str, Any]
    expected: Outcome
    on: str = "self"
    thread: str = ""
    keep: str = ""

    def __str__(self) -> str:
        """Return the call as Python would write it, escapes aside."""
        parts = [_argument(value) for value in self.args]
        parts += [f"{name}={_argument(value)}" for name, value in self.kwargs.items()]
        kept = f"{self.keep} = " if self.keep else ""
        owner = "" if self.on == "self" else f"{self.on}."
        thread = f"{self.thread}: " if self.thread else ""
        return f"{thread}{kept}{owner}{self.call}({', '.join(parts)})"


def _argument(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((key, content),) = value.items()
        return str(content) if key == "$the" else f"<{key[1:]} {content}>"
    return repr(value)


class Made(NamedTuple):
    """The arguments of a constructor."""

    args: list[Any]
    kwargs: dict[str, Any]


class Case(NamedTuple):
    """A sequence of calls on an object of one type, and on those that it is made with."""

    kind: str
    name: str
    group: str
    start: str
    steps: list[Step]
    end: str
    objects: dict[str, Any]
    make: Made | None


def load(kind: str) -> list[Case]:
    """Return the cases for a type that hold for the running interpreter."""
    document = json.loads((FOLDER / FILES[kind]).read_text(encoding="utf-8"))
    return [case(kind, raw) for raw in document["cases"] if applies(raw)]


def applies(raw: dict[str, Any]) -> bool:
    """Return whether ``since`` and ``before`` of an entry hold for the running interpreter."""
    running = tuple(sys.version_info[:3])
    return _version(raw.get("since", "0")) <= running < _version(raw.get("before", "99"))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def case(kind: str, raw: dict[str, Any]) -> Case:
    """Return the case that a JSON object describes."""
    make = raw.get("make")
    return Case(
        kind,
        raw["name"],
        raw["group"],
        raw["start"],
        [_step(step) for step in raw["steps"]],
        raw["end"],
        raw.get("objects", {}),
        None if make is None else Made(make.get("args", []), make.get("kwargs", {})),
    )


def _step(raw: dict[str, Any]) -> Step:
    if "raises" in raw:
        expected = Outcome("raises", raw["raises"], raw.get("message", ""))
    elif raw.get("blocks"):
        expected = BLOCKS
    else:
        expected = Outcome("returns", raw["returns"])
    return Step(
        raw["call"],
        raw.get("args", []),
        raw.get("kwargs", {}),
        expected,
        raw.get("on", "self"),
        raw.get("in", ""),
        raw.get("as", ""),
    )
