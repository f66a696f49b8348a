"""The cases in lock.json: what is called, and what CPython answers.

A case has a name, a group, a start state (``free`` or ``held``), steps, and the state after them.
It holds for the interpreters from ``since`` up to, not including, ``before`` (``"3.12"`` or
``"3.13.1"``); no bound, no limit. A step names a method of the lock, or a call of ``_play.py``,
with its arguments, and says either what it ``returns`` or the exception it ``raises`` (with the
``message`` of the newest CPython it holds for, ``{type}`` standing for the lock type's name). A
case marked ``go`` speaks of blocking and timeout alone, and is replayed on the Go API too.

What JSON cannot say is an object with one key. Among arguments:

- ``{"$float": "nan"}``, ``{"$int": "1180591620717411303424"}``, ``{"$complex": [0, 1]}``,
  ``{"$bytes": "1"}``, ``{"$decimal": "0.001"}``, ``{"$exception": "ValueError"}``
- ``{"$index": 1}``, ``{"$number": 0.001}``, ``{"$truth": false}``: an object with ``__index__``,
  ``__float__`` or ``__bool__`` alone
- ``{"$raises": "ZeroDivisionError"}``: an object whose conversions raise
- ``{"$plain": "object"}``: an object with nothing

Among results ``{"$lock": "free"}`` is a new lock, ``{"$self": true}`` the lock itself, and
``{"$type": "tuple"}`` any object of that type.
"""

from __future__ import annotations

import builtins
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

VECTORS = Path(__file__).with_name("lock.json")


class Step(NamedTuple):
    """One call and what it must give."""

    call: str
    args: list[Any]
    kwargs: dict[str, Any]
    expected: Outcome


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
        return "hangs" if self.kind == "hangs" else json.dumps(self.value)


class Case(NamedTuple):
    """A sequence of calls on one lock."""

    name: str
    group: str
    start: str
    steps: list[Step]
    end: str


def load() -> list[Case]:
    """Return the cases that hold for the running interpreter."""
    document = json.loads(VECTORS.read_text(encoding="utf-8"))
    return [_case(raw) for raw in document["cases"] if _applies(raw)]


def _applies(raw: dict[str, Any]) -> bool:
    running = tuple(sys.version_info[:3])
    return _version(raw.get("since", "0")) <= running < _version(raw.get("before", "99"))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _case(raw: dict[str, Any]) -> Case:
    return Case(
        raw["name"], raw["group"], raw["start"], [_step(step) for step in raw["steps"]], raw["end"]
    )


def _step(raw: dict[str, Any]) -> Step:
    if "raises" in raw:
        expected = Outcome("raises", raw["raises"], raw.get("message", ""))
    else:
        expected = Outcome("returns", raw["returns"])
    return Step(raw["call"], raw.get("args", []), raw.get("kwargs", {}), expected)


class _Index:
    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class _Number:
    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value


class _Truth:
    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value


class _Raises:
    def __init__(self, name: str) -> None:
        self._error: type[BaseException] = getattr(builtins, name)

    def __bool__(self) -> bool:
        raise self._error

    def __index__(self) -> int:
        raise self._error

    def __float__(self) -> float:
        raise self._error


def _plain(_: str) -> object:
    return object()


def _exception(name: str) -> BaseException:
    error: BaseException = getattr(builtins, name)()
    return error


_ESCAPES: dict[str, Any] = {
    "$float": float,
    "$int": int,
    "$complex": lambda parts: complex(*parts),
    "$bytes": lambda text: text.encode(),
    "$index": _Index,
    "$number": _Number,
    "$truth": _Truth,
    "$raises": _Raises,
    "$plain": _plain,
    "$decimal": Decimal,
    "$exception": _exception,
}


def decode(value: Any) -> Any:
    """Return the Python object that a JSON argument stands for."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, content),) = value.items()
        if key in _ESCAPES:
            return _ESCAPES[key](content)
    return value
