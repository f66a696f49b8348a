"""Python's threading primitives, with a core written in Go.

The names are those of the standard library's ``_thread`` and ``threading``, and behave as the
running interpreter's do; ``golock.threading`` stands for the whole module. ``install()`` puts them
where the standard library takes its own from, and ``python -m golock run`` runs a program that way.
"""

from __future__ import annotations

import sys

from ._golock import (
    TIMEOUT_MAX,
    Abandoned,
    Barrier,
    BoundedSemaphore,
    Condition,
    CoreError,
    DeadlockError,
    Event,
    Lock,
    LockType,
    RLock,
    Semaphore,
    allocate_lock,
    at,
    core_address,
    error,
    get_handoff,
    set_handoff,
    use_core,
)
from ._golock import sight_wanted as _sight_wanted
from ._install import install, installed, uninstall
from ._lost import LockLost
from ._shared import get_include, shared

if sys.version_info >= (3, 13):
    from ._golock import lock as lock  # the name under which LockType is pickled

__version__ = "0.1.0"

__all__ = [
    "TIMEOUT_MAX",
    "Abandoned",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "CoreError",
    "DeadlockError",
    "Event",
    "Lock",
    "LockLost",
    "LockType",
    "RLock",
    "Semaphore",
    "allocate_lock",
    "at",
    "core_address",
    "error",
    "get_handoff",
    "get_include",
    "install",
    "installed",
    "set_handoff",
    "shared",
    "uninstall",
    "use_core",
]

if _wanted := _sight_wanted():
    from .sight import _follow_environment

    _follow_environment(_wanted)
    del _follow_environment
del _sight_wanted, _wanted
