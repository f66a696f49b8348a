"""Put golock's primitives where the standard library takes its own from, and put them back.

Places that call ``threading.Lock()`` or ``_thread.allocate_lock()`` by its full name follow by
themselves. What needs a line here is every module global that holds a function or a type.
"""

from __future__ import annotations

import _thread
import os
import sys

from ._golock import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    LockType,
    RLock,
    Semaphore,
    allocate_lock,
)

TYPE_CHECKING = False  # without importing typing, which takes longer than all of golock
if TYPE_CHECKING:
    from typing import Any


class Place:
    """A module global from which the standard library takes new locks.

    ``replacement`` names the golock object that takes the place, ``origin`` where the global's
    value without golock stands: an attribute of ``_thread``, or with a dot of another module. The
    place exists from version ``since`` up to, not including, ``before``.
    """

    __slots__ = ("attribute", "before", "module", "origin", "replacement", "since", "why")

    def __init__(
        self,
        module: str,
        attribute: str,
        replacement: str,
        origin: str,
        why: str,
        *,
        since: tuple[int, int] = (3, 10),
        before: tuple[int, int] = (4, 0),
    ) -> None:
        self.module = module
        self.attribute = attribute
        self.replacement = replacement
        self.origin = origin
        self.why = why
        self.since = since
        self.before = before


PLACES = (
    Place("_thread", "allocate_lock", "allocate_lock", "allocate_lock",
          "called by importlib, and the source of every name bound later"),
    Place("_thread", "allocate", "allocate_lock", "allocate",
          "the old synonym"),
    Place("_thread", "LockType", "LockType", "LockType",
          "isinstance checks, and from 3.13 on a way to make locks"),
    Place("_thread", "lock", "LockType", "lock",
          "the type under its own name", since=(3, 13)),
    Place("_thread", "RLock", "RLock", "RLock",
          "called by importlib from 3.12 on"),
    Place("threading", "_CRLock", "RLock", "RLock",
          "what threading.RLock() makes"),
    Place("threading", "Condition", "Condition", "threading.Condition",
          "the public name: queue, concurrent.futures"),
    Place("threading", "Semaphore", "Semaphore", "threading.Semaphore",
          "the public name: concurrent.futures"),
    Place("threading", "BoundedSemaphore", "BoundedSemaphore", "threading.BoundedSemaphore",
          "the public name"),
    Place("threading", "Event", "Event", "threading.Event",
          "the public name, and what every Thread starts with"),
    Place("threading", "Barrier", "Barrier", "threading.Barrier",
          "the public name"),
    Place("threading", "_allocate_lock", "allocate_lock", "allocate_lock",
          "the waiters of Condition, and the lock inside the RLock written in Python"),
    Place("threading", "Lock", "allocate_lock", "allocate_lock",
          "the public name: queue, logging, concurrent.futures", before=(3, 13)),
    Place("threading", "Lock", "LockType", "LockType",
          "the public name: queue, logging, concurrent.futures", since=(3, 13)),
    Place("threading", "_LockType", "LockType", "LockType",
          "the type that Lock is bound from", since=(3, 13)),
    Place("multiprocessing.dummy", "Lock", "allocate_lock", "allocate_lock",
          "bound by 'from threading import Lock'", before=(3, 13)),
    Place("multiprocessing.dummy", "Lock", "LockType", "LockType",
          "bound by 'from threading import Lock'", since=(3, 13)),
    Place("multiprocessing.dummy", "Condition", "Condition", "threading.Condition",
          "bound by 'from threading import Condition'"),
    Place("multiprocessing.dummy", "Semaphore", "Semaphore", "threading.Semaphore",
          "bound by 'from threading import Semaphore'"),
    Place("multiprocessing.dummy", "BoundedSemaphore", "BoundedSemaphore",
          "threading.BoundedSemaphore", "bound by 'from threading import BoundedSemaphore'"),
    Place("multiprocessing.dummy", "Event", "Event", "threading.Event",
          "bound by 'from threading import Event'"),
    Place("multiprocessing.dummy", "Barrier", "Barrier", "threading.Barrier",
          "bound by 'from threading import Barrier'"),
    Place("functools", "RLock", "RLock", "RLock",
          "bound at import: cached_property up to 3.11, and lru_cache written in Python"),
    Place("_pyio", "Lock", "allocate_lock", "allocate_lock",
          "the locks of its buffered readers and writers"),
    Place("tempfile", "_allocate_lock", "allocate_lock", "allocate_lock",
          "bound at import"),
    Place("_strptime", "_thread_allocate_lock", "allocate_lock", "allocate_lock",
          "bound at import"),
)  # fmt: skip

_replacements: dict[str, object] = {
    "allocate_lock": allocate_lock,
    "LockType": LockType,
    "RLock": RLock,
    "Condition": Condition,
    "Semaphore": Semaphore,
    "BoundedSemaphore": BoundedSemaphore,
    "Event": Event,
    "Barrier": Barrier,
}
_originals: list[tuple[Any, Place, object]] = []
_guard = _thread.allocate_lock()
os.register_at_fork(after_in_child=_guard._at_fork_reinit)  # type: ignore[attr-defined]


def complete(derived: type) -> None:
    """Give a class derived from `Barrier` the interpreter's methods, for it stands on its fields.

    ``multiprocessing.synchronize.Barrier`` keeps in shared memory what ``threading.Barrier`` keeps
    in private fields, and takes the methods that use them from its base. golock's barrier has none
    of these fields.
    """
    original = next(
        (original for _, place, original in _originals if place.origin == "threading.Barrier"),
        sys.modules["threading"].Barrier,
    )
    for name, value in vars(original).items():
        if name not in vars(derived) and name not in ("__dict__", "__weakref__"):
            setattr(derived, name, value)


def places() -> tuple[Place, ...]:
    """Return the places that exist in the running interpreter's version."""
    return tuple(place for place in PLACES if place.since <= sys.version_info[:2] < place.before)


def install() -> None:
    """Put golock's primitives where the standard library takes its own from, from now on.

    Those made before stay as they are. ``threading`` is imported, and no other module: one that is
    imported later takes golock's by itself. A second call does nothing. A forked child inherits the
    state.
    """
    import threading  # noqa: F401, PLC0415 - its classes are there to be replaced then

    # With no memory left, install may fail anywhere and is to be called again; and a with statement
    # would not free the interpreter's lock, whose __exit__ needs memory.
    _guard.acquire()
    try:
        if not _originals:
            _originals.extend(_found())
        for module, place, original in _originals:
            if getattr(module, place.attribute, None) is original:
                setattr(module, place.attribute, _replacements[place.replacement])
    finally:
        _guard.release()


def uninstall() -> None:
    """Put back exactly what ``install`` replaced, also in modules imported since.

    A global that no longer holds golock's object, because somebody replaced it in turn, is left as
    it is. Locks made in between stay valid. A second call does nothing.
    """
    _guard.acquire()
    try:
        if not _originals:
            return
        for module, place, original in _originals:
            _put_back(module, place, original)
        for place in places():
            module = sys.modules.get(place.module)
            if module is not None:
                _put_back(module, place, _origin(place))
        _originals.clear()
    finally:
        _guard.release()


def installed() -> bool:
    """Return whether ``install`` is in force."""
    return bool(_originals)


def _found() -> list[tuple[Any, Place, object]]:
    found = []
    for place in places():
        module = sys.modules.get(place.module)
        if module is not None and hasattr(module, place.attribute):
            found.append((module, place, getattr(module, place.attribute)))
    return found


def _origin(place: Place) -> object:
    module, dot, attribute = place.origin.rpartition(".")
    return getattr(sys.modules[module] if dot else _thread, attribute)


def _put_back(module: Any, place: Place, original: object) -> None:
    if getattr(module, place.attribute, None) is _replacements[place.replacement]:
        setattr(module, place.attribute, original)
