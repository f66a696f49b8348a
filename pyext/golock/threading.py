"""The module ``threading`` with golock's primitives: ``from golock import threading``.

``Lock``, ``RLock``, ``Condition``, ``Semaphore``, ``BoundedSemaphore``, ``Event`` and ``Barrier``
are golock's. Every other name is the standard module's own object, looked up there each time, so
that the two never disagree; to set one, such as ``excepthook``, sets it there.
"""

from __future__ import annotations

import sys
import threading as _standard
from types import ModuleType

from ._golock import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = _standard.__all__

_own = {
    "Lock": Lock,
    "RLock": RLock,
    "Condition": Condition,
    "Semaphore": Semaphore,
    "BoundedSemaphore": BoundedSemaphore,
    "Event": Event,
    "Barrier": Barrier,
}


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_standard)})


class _Threading(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        if name in _own or name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(_standard, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _own:
            super().__delattr__(name)
        else:
            delattr(_standard, name)


sys.modules[__name__].__class__ = _Threading
