"""Families of lock types: golock's, the interpreter's own, another library's."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from .. import _interpreter
from ._vectors import KINDS

Factory = Callable[..., Any]

LEAST = {"Barrier": [2]}
"""The arguments without which an object cannot be made."""


class Family(NamedTuple):
    """Types to examine: a name for reports, and what makes an object of each kind."""

    name: str
    factories: dict[str, Factory]

    def new(self, kind: str) -> Any:
        """Return a new object of a kind, made with as few arguments as it takes.

        It is the interpreter's where the family does not have the kind.
        """
        factory = self.factories.get(kind) or INTERPRETER.factories[kind]
        return factory(*LEAST.get(kind, []))

    def types(self) -> dict[str, type]:
        """Return the type of each kind of object; a kind that cannot be made is left out."""
        types: dict[str, type] = {}
        for kind, factory in self.factories.items():
            try:
                types[kind] = factory if isinstance(factory, type) else type(self.new(kind))
            except Exception:
                continue
        return types


def family_of(module: ModuleType) -> Family:
    """Return the family of the kinds that a module has."""
    found = {kind: getattr(module, kind, None) for kind in KINDS}
    callables = {kind: factory for kind, factory in found.items() if callable(factory)}
    return Family(module.__name__, callables)


def _interpreters() -> Family:
    """Return the running interpreter's types; RLock is the type, not threading's function."""
    factories = family_of(_interpreter.threading()).factories
    return Family("interpreter", {**factories, "RLock": _interpreter.thread().RLock})


INTERPRETER = _interpreters()
