"""Python.h comes before any header of the system, whose macros it sets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "pyext" / "native"


def first_of_the_system(path: Path) -> str | None:
    """Return the first header of the system that a file includes, itself or by another's."""
    for bracket, name in re.findall(r'^#include ([<"])(.*)[>"]', path.read_text(), re.MULTILINE):
        if bracket == "<":
            return str(name)
        found = NATIVE / name
        first = first_of_the_system(found) if found.exists() else name  # golock.h
        if first is not None:
            return first
    return None


@pytest.mark.parametrize("path", sorted(NATIVE.rglob("*.c")), ids=lambda path: path.stem)
def test_it_is_the_first(path: Path) -> None:
    assert first_of_the_system(path) == "Python.h"
