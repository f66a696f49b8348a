"""The interpreter's own algorithms, for objects of golock whose internals a program touches.

An opened object keeps its state in its ``__dict__`` under the names that ``threading`` uses, and
its methods run the functions of the interpreter's classes, made here once more from the code of
``threading``, over golock's locks and conditions. ``pyext/native/primitives/object.h`` says when
one is opened.

The last functions are what is left to do of a call that began natively.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import threading
from types import CodeType, SimpleNamespace

from . import _golock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAMES = ("Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")


@functools.cache
def classes() -> dict[str, dict[str, Any]]:
    """Return what the interpreter's classes have, by the names of the classes."""
    allocate_lock = _lock_allocator(_golock.allocate_lock)
    surroundings = {
        **vars(threading),
        "Lock": allocate_lock,
        "_allocate_lock": _lock_allocator(_golock.allocate_signal),  # for Condition.wait
        "RLock": new_rlock,
        "Condition": _golock.Condition,
    }
    found: dict[str, dict[str, Any]] = {}
    for code in threading_code().co_consts:
        if isinstance(code, CodeType) and code.co_name in _NAMES:
            base = "Semaphore" if code.co_name == "BoundedSemaphore" else ""
            members: dict[str, Any] = dict(found.get(base, {}))
            exec(code, surroundings, members)
            cell = members.pop("__classcell__", None)
            if cell is not None:  # what super() stands on
                cell.cell_contents = getattr(_golock, code.co_name)
            found[code.co_name] = members
    return found


def _lock_allocator(allocate_lock: Callable[[], Any]) -> Callable[[], Any]:
    """Return what allocates these locks, or those of the library that has green threads.

    It refers to no global: conditions are waited at while the interpreter clears its modules.
    """
    green_threads = _golock.green_threads
    names = vars(threading)

    def allocate() -> Any:
        return names["_allocate_lock"]() if green_threads() else allocate_lock()

    return allocate


def new_rlock() -> Any:
    """Return what ``Condition()`` stands on: an RLock, or what has replaced ``threading.RLock``."""
    return vars(threading)["RLock"]() if _golock.rlock_is_replaced() else _golock.RLock()


def threading_code() -> CodeType:
    """Return the code of the interpreter's ``threading``."""
    loader: Any = threading.__spec__.loader if threading.__spec__ else None
    code = loader.get_code("threading") if hasattr(loader, "get_code") else None
    if not isinstance(code, CodeType):
        raise ImportError("the code of this interpreter's threading module cannot be found")
    return code


def fields(initialize: Callable[..., None], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return the attributes that an ``__init__`` gives to its object."""
    namespace = SimpleNamespace()
    initialize(namespace, *arguments)
    return vars(namespace)


def state(self: Any) -> Any:
    """Do the work of ``__getstate__``: an object is copied by what the interpreter's has in it."""
    internals = vars(self)  # opens it
    getstate: Any = getattr(object, "__getstate__", None)  # since 3.11
    if getstate:
        return getstate(self)
    names = copyreg._slotnames(type(self))  # type: ignore[attr-defined]
    slots = {name: getattr(self, name) for name in names if hasattr(self, name)}
    return (internals, slots) if slots else internals


def reduce(self: Any, protocol: int) -> Any:
    """Do the work of ``__reduce_ex__``: a class of golock need not be the one of ``threading``."""
    name = type(self).__name__
    if type(self) is getattr(_golock, name, None):
        return new, (name,), state(self)
    return object.__reduce_ex__(self, protocol)


def new(name: str) -> Any:
    """Return an object that is not initialized, for what ``reduce`` has returned."""
    kind = getattr(_golock, name)
    return kind.__new__(kind)


def stop_waiting(self: Any, waiter: Any) -> None:
    """Take the lock of a waiter that was not notified out of a condition, whose lock is held."""
    with contextlib.suppress(ValueError):
        self._waiters.remove(waiter)


def wait_on(self: Any, condition: Any, index: int, timeout: float | None) -> int:
    """Go on in ``Barrier.wait`` where it waits for the others, at a condition whose lock is held.

    The barrier may have another ``_cond`` by now.
    """
    try:
        if not condition.wait_for(lambda: self._state != 0, timeout):
            self._break()
            raise threading.BrokenBarrierError
        if self._state < 0:
            raise threading.BrokenBarrierError
        return index
    finally:
        self._count -= 1
        self._exit()


def leave(self: Any, error: BaseException) -> None:
    """Go on in ``Barrier.wait`` where the wait was interrupted; the lock of ``_cond`` is held."""
    try:
        raise error
    finally:
        self._count -= 1
        self._exit()


def trip(self: Any, index: int, error: BaseException | None) -> int:
    """Go on in ``Barrier.wait`` after the action; the lock of ``_cond`` is held."""
    try:
        try:
            if error is not None:
                raise error
            self._state = 1
            self._cond.notify_all()
        except BaseException:
            self._break()
            raise
        return index
    finally:
        self._count -= 1
        self._exit()
