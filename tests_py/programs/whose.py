"""Says whose primitives a program uses, on golock or without it."""

from __future__ import annotations

import sys


def whose(primitive: object) -> str:
    """Return "golock" for golock's classes, whatever they are named, or the class's module."""
    golock = sys.modules.get("golock")
    if golock is not None and type(primitive) in vars(golock).values():
        return "golock"
    return type(primitive).__module__
