"""Put golock's primitives where the standard library takes its own from, and put them back.

Places that call ``threading.Lock()`` or ``_thread.allocate_lock()`` by its full name follow by
themselves. What needs a line here is every module global that holds a function or a type.
"""

from __future__ import annotations

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
    green_threads,
    installation,
    on_green_threads,
)

_MISSING = object()

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

# The package may be imported anew, or be there in two copies. All of them find the same record.
_record: dict[str, Any] = installation()
_fresh = allocate_lock()
_guard: LockType = _record.setdefault("guard", _fresh)
if _guard is _fresh:
    os.register_at_fork(after_in_child=_guard._at_fork_reinit)

# What stood in a place, by module and attribute; and, by its id, each object of golock's that has
# taken one. Nothing is taken out again: who has replaced golock's may put it back after uninstall.
_originals: dict[tuple[Any, str], object] = _record.setdefault("originals", {})
_golocks: dict[int, object] = _record.setdefault("golocks", {})


def places() -> tuple[Place, ...]:
    """Return the places that exist in the running interpreter's version."""
    return tuple(place for place in PLACES if place.since <= sys.version_info[:2] < place.before)


def install() -> None:
    """Put golock's primitives where the standard library takes its own from, from now on.

    Those made before stay as they are. ``threading`` is imported, and no other module: one that is
    imported later takes golock's by itself. A second call does nothing. A forked child inherits the
    state.

    Where a library of green threads has made ``_thread`` its own, nothing is replaced, with a
    RuntimeWarning; and when one does so later, what ``install`` has replaced is put back.
    """
    import threading  # noqa: F401, PLC0415 - its classes are there to be replaced then

    if not green_threads():
        # With no memory left, this may fail anywhere and is to be called again; and a with
        # statement would not free the lock, whose __exit__ needs memory.
        _guard.acquire()
        try:
            _replace()
        finally:
            _guard.release()
        _teach_picklers()
    if green_threads():
        _stand_aside()


def uninstall() -> None:
    """Put back exactly what ``install`` replaced, also in modules imported since.

    A global that no longer holds golock's object, because somebody replaced it in turn, is left as
    it is. Locks made in between stay valid. A second call does nothing. It does not matter which
    copy of the package was installed, where there are several.
    """
    _guard.acquire()
    try:
        _put_back()
    finally:
        _guard.release()
    _teach_picklers()


def installed() -> bool:
    """Return whether ``install`` is in force."""
    green_threads()  # calls _on_green_threads when they are new
    return bool(_record.get("installed"))


def _replace() -> None:
    in_force = _record.get("installed", False)
    for place in places():
        module = sys.modules.get(place.module)
        value = getattr(module, place.attribute, _MISSING)
        if value is _MISSING:
            continue
        key = (module, place.attribute)
        if id(value) not in _golocks:
            if in_force and _originals.get(key, value) is not value:
                continue  # somebody else's
            _originals[key] = value
        replacement = _replacements[place.replacement]
        _golocks[id(replacement)] = replacement
        _record["installed"] = True
        setattr(module, place.attribute, replacement)
    _record["warned"] = False


def _put_back() -> None:
    for (module, attribute), original in _originals.items():
        if id(getattr(module, attribute, None)) in _golocks:
            setattr(module, attribute, original)
    here = places()
    names = {place.module for place in here}
    for module in list(sys.modules.values()):
        name = _name(module)
        for place in here if name in names else ():
            if place.module == name and id(getattr(module, place.attribute, None)) in _golocks:
                setattr(module, place.attribute, _origin(place.origin))
    _record["installed"] = False


def _name(module: object) -> str | None:
    """Return what a module calls itself, whatever sys.modules calls it."""
    if not issubclass(type(module), type(sys)):  # not isinstance: the modules of cffi lie
        return None
    namespace = object.__getattribute__(module, "__dict__")  # vars() would load a lazy module
    name = namespace.get("__name__")
    return name if isinstance(name, str) else None


def _origin(origin: str) -> object:
    """Return what the interpreter, without golock, has under a name that `Place` describes."""
    name, dot, attribute = origin.rpartition(".")
    name = name if dot else "_thread"
    original = _originals.get((sys.modules[name], attribute), _MISSING)
    if original is not _MISSING:
        return original
    for (module, its_attribute), original in _originals.items():
        if its_attribute == attribute and getattr(module, "__name__", None) == name:
            return original
    return getattr(sys.modules[name], attribute)


def _stand_aside() -> None:
    _guard.acquire()
    try:
        if _record.get("installed"):
            _put_back()
        warned = _record.get("warned", False)
        _record["warned"] = True
    finally:
        _guard.release()
    if not warned:
        import warnings  # noqa: PLC0415

        warnings.warn(
            "golock stands aside: a library of green threads has replaced functions of _thread, "
            "and the program continues with the interpreter's and the library's primitives",
            RuntimeWarning,
            stacklevel=3,
        )


def _on_green_threads(kind: type | None) -> object:
    if _record.get("installed"):
        _stand_aside()
    if kind is None:
        return None
    import threading  # noqa: F401, PLC0415

    return _origin(f"threading.{kind.__name__}")


def _teach_picklers() -> None:
    """Have dill, where it is, pickle golock's locks as the interpreter's, and the other way round.

    It knows a type by what ``_thread`` held when it was imported.
    """
    dill = sys.modules.get("dill")
    dispatch = getattr(getattr(dill, "Pickler", None), "dispatch", {})
    for name in ("LockType", "RLock"):
        kinds = {_replacements[name], _origin(name)}
        known = [dispatch[kind] for kind in kinds if kind in dispatch]
        for kind in kinds:
            if known and kind not in dispatch:
                dispatch[kind] = known[0]


on_green_threads(_on_green_threads)
_teach_picklers()
