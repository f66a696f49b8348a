"""install and uninstall that run out of memory midway can be called again.

Called again, install took the half that it had done for the whole, and left the rest unchanged.
"""

from __future__ import annotations

import threading

import pytest

import golock
from golock import _install


class Unwilling:
    """A module whose first change fails."""

    def __init__(self, value):
        self.__dict__.update(attribute=value, refusals=1)

    def __setattr__(self, name, value):
        if self.refusals:
            self.__dict__["refusals"] -= 1
            raise MemoryError
        self.__dict__[name] = value


def test_second_call_completes_the_first(monkeypatch):
    place = _install.Place("unwilling", "attribute", "LockType", "LockType", "")
    module = Unwilling(object())
    original = module.attribute
    monkeypatch.setitem(_install.sys.modules, "unwilling", module)
    monkeypatch.setattr(_install, "PLACES", (place, *_install.PLACES))
    before = threading.Lock
    with pytest.raises(MemoryError):
        golock.install()
    assert threading.Lock is before
    golock.install()
    assert threading.Lock is not before
    assert module.attribute is golock.LockType
    golock.uninstall()
    assert threading.Lock is before
    assert module.attribute is original
