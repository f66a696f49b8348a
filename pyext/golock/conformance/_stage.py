"""A case under way: the object under test, those beside it, and how their answers are told."""

from __future__ import annotations

import re
from typing import Any

from ._arguments import decode
from ._family import INTERPRETER, Factory, Family
from ._state import arguments, prepare, state
from ._vectors import Case, Made

_INTERPRETERS = INTERPRETER.types()


class Stage:
    """The objects of a case, and what makes more of them."""

    def __init__(self, case: Case, family: Family) -> None:
        self.kind = case.kind
        self.family = family
        self.types = family.types()
        self.factory = family.factories[case.kind]
        self.objects: dict[str, Any] = {}
        for name, value in case.objects.items():
            self.objects[name] = self.decoded(value)
        self._make = case.make or Made(arguments(case.kind, case.start), {})
        self.self = self.objects["self"] = self.another()
        self.type = type(self.self)
        prepare(self.self, case.start)

    def decoded(self, value: Any) -> Any:
        """Return the object that a JSON argument stands for."""
        return decode(value, self.family, self.objects)

    def arguments(self) -> Made:
        """Return the arguments that the object under test is made with."""
        args, kwargs = self._make
        decoded = {name: self.decoded(value) for name, value in kwargs.items()}
        return Made([self.decoded(value) for value in args], decoded)

    def made(self, factory: Factory) -> Any:
        """Return what a factory makes of these arguments."""
        args, kwargs = self.arguments()
        return factory(*args, **kwargs)

    def another(self) -> Any:
        """Return another object like the one under test."""
        return self.made(self.factory)

    def encode(self, result: Any) -> Any:
        """Return a result as JSON has it."""
        if isinstance(result, str):
            return self.anonymous(result)
        if result is None or isinstance(result, (bool, int, float)):
            return result
        if isinstance(result, list):
            return [self.encode(value) for value in result]
        for name, known in self.objects.items():
            if result is known:
                return {"$the": name}
        if type(result) is self.type:
            return {"$new": state(self.kind, result)}
        return {"$type": type(result).__name__}

    def anonymous(self, text: str) -> str:
        """Return the text without addresses, threads and modules, ``{type}`` for the type."""
        text = re.sub(r"0x[0-9a-f]+", "0x...", text)
        text = re.sub(r"\bowner=[1-9]\d*", "owner=...", text)
        kinds = [("type", self.type), *self.types.items(), *_INTERPRETERS.items()]
        for name, kind in kinds:
            full = re.escape(f"{kind.__module__}.{kind.__qualname__}")
            text = re.sub(rf"(?<![\w.]){full}\b", f"{{{name}}}", text)
        text = text.replace(f"'{self.type.__name__}'", "'{type}'")
        text = text.replace(f" on {self.type.__module__} failed", " on its module failed")
        return re.sub(r"\b[\w.]+\.(\w+\(\))", r"\1", text)
