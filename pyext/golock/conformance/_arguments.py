"""The Python objects that JSON arguments stand for; ``_vectors.py`` lists the escapes."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ._family import INTERPRETER, Family
from ._user_locks import USER_LOCKS


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


def _giving(values: list[Any]) -> Callable[[], Any]:
    left = list(values)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def _raising(name: str) -> Callable[[], Any]:
    def function() -> Any:
        raise _exception(name)

    return function


def _opening(objects: dict[str, Any], name: str) -> Callable[[], Any]:
    return lambda: vars(objects[name])


def _calling(objects: dict[str, Any], name: str, method: str) -> Callable[[], Any]:
    def function() -> Any:
        return getattr(objects[name], method)()

    return function


_ESCAPES: dict[str, Callable[[Any], Any]] = {
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
    "$fraction": Fraction,
    "$exception": _exception,
    "$interpreter": INTERPRETER.new,
    "$user": lambda name: USER_LOCKS[name](),
    "$giving": _giving,
    "$raising": _raising,
}


def decode(value: Any, family: Family, objects: dict[str, Any]) -> Any:
    """Return the object that a JSON argument stands for."""
    if not (isinstance(value, dict) and len(value) == 1):
        return value
    ((key, content),) = value.items()
    if key == "$the":
        return objects[content]
    if key == "$new":
        return family.new(content)
    if key == "$opening":
        return _opening(objects, content)
    if key == "$calling":
        name, method = content
        return _calling(objects, name, method)
    return _ESCAPES[key](content) if key in _ESCAPES else value
