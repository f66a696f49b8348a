"""Tells whose the primitives are, in programs that run on golock and without."""

from __future__ import annotations

import sys


def whose(primitive: object) -> str:
    """Return "golock", whose classes are named as the interpreter's, or the module of the class."""
    golock = sys.modules.get("golock")
    if golock is not None and type(primitive) in vars(golock).values():
        return "golock"
    return type(primitive).__module__
