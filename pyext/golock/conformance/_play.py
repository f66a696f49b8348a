"""Plays a case over a lock: the calls that lock.json may name, and what each gives."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from ._vectors import Case, Outcome, Step, decode

TIME_LIMIT = 20.0
"""Seconds after which a case counts as hanging. The longest waits a few milliseconds."""


class Subject(NamedTuple):
    """A kind of lock to examine: its name in reports, and the callable that makes a free one."""

    name: str
    factory: Callable[..., Any]


class Played(NamedTuple):
    """What a case gave: one outcome a step, and the state after them."""

    outcomes: list[Outcome]
    end: str


def play(case: Case, subject: Subject) -> Played:
    """Run the case on a new lock, in a thread, so that a lock that never answers can be named."""
    played = Played([], "unknown")
    results = [played]

    def body() -> None:
        results[0] = _play(case, subject, played.outcomes)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    if thread.is_alive():
        return Played([*played.outcomes, Outcome("hangs", None)], "unknown")
    return results[0]


def _play(case: Case, subject: Subject, outcomes: list[Outcome]) -> Played:
    lock = subject.factory()
    if case.start == "held" and lock.acquire(False) is not True:
        return Played(outcomes, "unknown: a new lock cannot be taken")
    for step in case.steps:
        outcomes.append(_outcome(step, lock, subject))
    return Played(outcomes, _state(lock))


def _state(lock: Any) -> str:
    try:
        return "held" if lock.locked() else "free"
    except Exception as error:
        return f"unknown: locked() raises {type(error).__name__}"


def _outcome(step: Step, lock: Any, subject: Subject) -> Outcome:
    args = [decode(value) for value in step.args]
    kwargs = {name: decode(value) for name, value in step.kwargs.items()}
    try:
        if step.call in _CALLS:
            result = _CALLS[step.call](lock, subject, *args, **kwargs)
        else:
            result = getattr(lock, step.call)(*args, **kwargs)
        return Outcome("returns", _encode(result, lock))
    except Exception as error:
        return Outcome("raises", type(error).__name__, _anonymous(str(error), type(lock)))


def _encode(result: Any, lock: Any) -> Any:
    if result is lock:
        return {"$self": True}
    if type(result) is type(lock):
        return {"$lock": _state(result)}
    if isinstance(result, str):
        return _anonymous(result, type(lock))
    if result is None or isinstance(result, (bool, int, float, list)):
        return result
    return {"$type": type(result).__name__}


def _anonymous(text: str, kind: type) -> str:
    """Return the text without addresses and modules, ``{type}`` for the lock type's name."""
    text = re.sub(r"0x[0-9a-f]+", "0x...", text)
    text = text.replace(f"{kind.__module__}.{kind.__qualname__}", "{type}")
    text = text.replace(f"'{kind.__name__}'", "'{type}'")
    text = text.replace(f" on {kind.__module__} failed", " on its module failed")
    return re.sub(r"\b[\w.]+\.(\w+\(\))", r"\1", text)


class _LeftError(Exception):
    pass


def _with(lock: Any, subject: Subject, body: str) -> Any:
    try:
        with lock as target:
            if body == "raise":
                raise _LeftError
            if body == "release":
                lock.release()
            if body == "locked":
                return lock.locked()
            if body == "try again":
                return lock.acquire(False)
            if body == "release and take":
                lock.release()
                lock.acquire()
            return target
    except _LeftError:
        return "left by the exception"


def _pickle(lock: Any, subject: Subject, protocol: int) -> Any:
    return len(pickle.dumps(lock, protocol)) > 0


def _subclass(lock: Any, subject: Subject) -> Any:
    type("Derived", (type(lock),), {})


def _set_attribute(lock: Any, subject: Subject, name: str) -> Any:
    setattr(lock, name, 1)


def _delete_attribute(lock: Any, subject: Subject, name: str) -> Any:
    delattr(lock, name)


def _set_type_attribute(lock: Any, subject: Subject, name: str) -> Any:
    setattr(type(lock), name, getattr(type(lock), name, 1))


def _weakref_callback(lock: Any, subject: Subject) -> Any:
    gone: list[bool] = []
    other = subject.factory()
    reference = weakref.ref(other, lambda _: gone.append(True))
    del other
    return [bool(gone), reference() is None]


def _present(lock: Any, subject: Subject, *names: str) -> Any:
    return [name for name in names if hasattr(lock, name)]


def _release_in_thread(lock: Any, subject: Subject) -> Any:
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    return lock.locked()


def _acquire_in_thread(lock: Any, subject: Subject, *args: Any) -> Any:
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(*args)))
    thread.start()
    thread.join()
    return taken


def _wake(lock: Any, subject: Subject) -> Any:
    """Release a lock that another thread waits for, or is about to; return what it got."""
    taken: list[Any] = []
    started = threading.Event()

    def wait() -> None:
        started.set()
        taken.append(lock.acquire())

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait()
    lock.release()
    thread.join()
    return taken


def _set_of(lock: Any, subject: Subject) -> Any:
    return len({lock, lock, subject.factory()})


_CALLS: dict[str, Callable[..., Any]] = {
    "new": lambda lock, subject, *a, **k: subject.factory(*a, **k),
    "call type": lambda lock, subject, *a, **k: type(lock)(*a, **k),
    "type.__new__": lambda lock, subject, *a, **k: type(lock).__new__(type(lock), *a, **k),
    "object.__new__": lambda lock, subject: object.__new__(type(lock)),
    "call lock": lambda lock, subject: lock(),
    "type name": lambda lock, subject: type(lock).__name__,
    "bases": lambda lock, subject: [base.__name__ for base in type(lock).__mro__[1:]],
    "with": _with,
    "pickle": _pickle,
    "copy": lambda lock, subject: copy.copy(lock),
    "deepcopy": lambda lock, subject: copy.deepcopy(lock),
    "subclass": _subclass,
    "set attribute": _set_attribute,
    "delete attribute": _delete_attribute,
    "set type attribute": _set_type_attribute,
    "vars": lambda lock, subject: vars(lock),
    "hash": lambda lock, subject: hash(lock) == hash(lock),
    "in a set": _set_of,
    "== self": lambda lock, subject: lock == lock,  # noqa: PLR0124
    "== other": lambda lock, subject: lock == subject.factory(),
    "!= other": lambda lock, subject: lock != subject.factory(),
    "== 1": lambda lock, subject: lock == 1,
    "< other": lambda lock, subject: lock < subject.factory(),
    ">= other": lambda lock, subject: lock >= subject.factory(),
    "bool": lambda lock, subject: bool(lock),
    "int": lambda lock, subject: int(lock),
    "len": lambda lock, subject: len(lock),
    "iter": lambda lock, subject: iter(lock),
    "repr": lambda lock, subject: repr(lock),
    "str": lambda lock, subject: str(lock),
    "format": lambda lock, subject, spec: format(lock, spec),
    "weakref": lambda lock, subject: weakref.ref(lock)() is lock,
    "weakref callback": _weakref_callback,
    "present": _present,
    "signature": lambda lock, subject, name: str(inspect.signature(getattr(lock, name))),
    "callable": lambda lock, subject, name: callable(getattr(lock, name)),
    "unbound": lambda lock, subject, name, *args: getattr(type(lock), name)(*args),
    "bound to itself": lambda lock, subject, name: getattr(lock, name).__self__ is lock,
    "release in a thread": _release_in_thread,
    "acquire in a thread": _acquire_in_thread,
    "wake a waiter": _wake,
}
