"""Python.h comes before any header of the system, whose macros it sets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "pyext" / "native"


def of_the_system(path: Path) -> list[str]:
    """Return the headers of the system that a file includes, itself or by others, in order."""
    headers: list[str] = []
    for bracket, name in re.findall(r'^#include ([<"])(.*)[>"]', path.read_text(), re.MULTILINE):
        if bracket == "<":
            headers.append(name)
        elif (NATIVE / name).exists():
            headers += of_the_system(NATIVE / name)
        else:
            headers.append("stdint.h")  # golock.h and the like include it
    return headers


@pytest.mark.parametrize("path", sorted(NATIVE.rglob("*.c")), ids=lambda path: path.stem)
def test_it_is_the_first(path: Path) -> None:
    headers = of_the_system(path)
    assert "Python.h" not in headers[1:] or headers[0] == "Python.h"
