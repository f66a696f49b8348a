"""The calls that a case may name beside an object's methods."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from ._internals import INTERNALS
from ._stage import Stage

Call = Callable[..., Any]


class _LeftError(Exception):
    pass


def _with(thing: Any, stage: Stage, body: str) -> Any:
    try:
        with thing as target:
            if body == "raise":
                raise _LeftError
            if body == "release":
                thing.release()
            if body == "locked":
                return thing.locked()
            if body == "try again":
                return thing.acquire(False)
            if body == "release and take":
                thing.release()
                thing.acquire()
            return target
    except _LeftError:
        return "left by the exception"


def _pickle(thing: Any, stage: Stage, protocol: int) -> Any:
    return len(pickle.dumps(thing, protocol)) > 0


def _derive(stage: Stage, body: dict[str, Any]) -> type[Any]:
    return type("Derived", (stage.type,), body)


def _subclass(thing: Any, stage: Stage) -> Any:
    _derive(stage, {})


def _in_subclass(thing: Any, stage: Stage, name: str, *args: Any, **kwargs: Any) -> Any:
    """Make a call on an object of a subclass that adds nothing."""
    return _named(stage.made(_derive(stage, {})), stage, name)(*args, **kwargs)


def _named(thing: Any, stage: Stage, name: str) -> Call:
    if name in CALLS:
        return lambda *args, **kwargs: CALLS[name](thing, stage, *args, **kwargs)
    method: Call = getattr(thing, name)
    return method


def _overridden(thing: Any, stage: Stage, names: list[str], name: str, *args: Any) -> Any:
    """Return which overridden methods a call goes through, in a subclass that overrides them."""
    seen: list[str] = []

    def overriding(method: str) -> Call:
        def override(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(method)
            return getattr(stage.type, method)(self, *args, **kwargs)

        return override

    derived = stage.made(_derive(stage, {method: overriding(method) for method in names}))
    seen.clear()
    _named(derived, stage, name)(*args)
    return seen


def _without_init(thing: Any, stage: Stage, name: str, *args: Any) -> Any:
    """Make a call on an object of a subclass whose ``__init__`` does not call its base's."""
    derived = _derive(stage, {"__init__": lambda self: None})()
    return _named(derived, stage, name)(*args)


def _init_with_more(thing: Any, stage: Stage) -> Any:
    """Return what a subclass's ``__init__`` with arguments of its own has kept."""

    def init(self: Any, label: str, *, colour: str) -> None:
        args, kwargs = stage.arguments()
        super(derived, self).__init__(*args, **kwargs)
        self.label, self.colour = label, colour

    derived = _derive(stage, {"__init__": init})
    made = derived("a", colour="red")
    return [made.label, made.colour, isinstance(made, stage.type)]


def _set_attribute(thing: Any, stage: Stage, name: str, value: Any = 1) -> Any:
    setattr(thing, name, value)


def _delete_attribute(thing: Any, stage: Stage, name: str) -> Any:
    delattr(thing, name)


def _set_type_attribute(thing: Any, stage: Stage, name: str) -> Any:
    setattr(stage.type, name, getattr(stage.type, name, 1))


def _replaced(thing: Any, stage: Stage, replaced: str, name: str, *args: Any) -> Any:
    """Return whether a call sees a method that was replaced on the object itself."""
    seen: list[str] = []
    original = getattr(thing, replaced)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        seen.append(replaced)
        return original(*args, **kwargs)

    setattr(thing, replaced, replacement)
    _named(thing, stage, name)(*args)
    return seen


def _weakref_callback(thing: Any, stage: Stage) -> Any:
    gone: list[bool] = []
    other = stage.another()
    reference = weakref.ref(other, lambda _: gone.append(True))
    del other
    return [bool(gone), reference() is None]


def _present(thing: Any, stage: Stage, *names: str) -> Any:
    return [name for name in names if hasattr(thing, name)]


def _release_in_thread(lock: Any, stage: Stage) -> Any:
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    return lock.locked()


def _acquire_in_thread(lock: Any, stage: Stage, *args: Any) -> Any:
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(*args)))
    thread.start()
    thread.join()
    return taken


def _wake(lock: Any, stage: Stage) -> Any:
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


def _warnings(thing: Any, stage: Stage, name: str, *args: Any) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _named(thing, stage, name)(*args)
    return [warning.category.__name__ for warning in caught]


def _signature(thing: Any, stage: Stage, name: str) -> Any:
    return str(inspect.signature(getattr(thing, name)))


def _set_of(thing: Any, stage: Stage) -> Any:
    return len({thing, thing, stage.another()})


CALLS: dict[str, Call] = {
    "new": lambda thing, stage, *a, **k: stage.factory(*a, **k),
    "call type": lambda thing, stage, *a, **k: stage.type(*a, **k),
    "type.__new__": lambda thing, stage, *a, **k: stage.type.__new__(stage.type, *a, **k),
    "object.__new__": lambda thing, stage: object.__new__(stage.type),
    "call lock": lambda thing, stage: thing(),
    "type name": lambda thing, stage: stage.type.__name__,
    "bases": lambda thing, stage: [base.__name__ for base in stage.type.__mro__[1:]],
    "with": _with,
    "pickle": _pickle,
    "copy": lambda thing, stage: copy.copy(thing),
    "deepcopy": lambda thing, stage: copy.deepcopy(thing),
    "subclass": _subclass,
    "in a subclass": _in_subclass,
    "overridden methods seen": _overridden,
    "in a subclass without __init__": _without_init,
    "in a subclass with more arguments": _init_with_more,
    "get": lambda thing, stage, name: getattr(thing, name),
    "set attribute": _set_attribute,
    "delete attribute": _delete_attribute,
    "set type attribute": _set_type_attribute,
    "replaced method seen": _replaced,
    "vars": lambda thing, stage: vars(thing),
    "has vars": lambda thing, stage: isinstance(vars(thing), dict),
    "hash": lambda thing, stage: hash(thing) == hash(thing),
    "in a set": _set_of,
    "== self": lambda thing, stage: thing == thing,  # noqa: PLR0124
    "== other": lambda thing, stage: thing == stage.another(),
    "!= other": lambda thing, stage: thing != stage.another(),
    "== 1": lambda thing, stage: thing == 1,
    "< other": lambda thing, stage: thing < stage.another(),
    ">= other": lambda thing, stage: thing >= stage.another(),
    "bool": lambda thing, stage: bool(thing),
    "int": lambda thing, stage: int(thing),
    "len": lambda thing, stage: len(thing),
    "len of": lambda thing, stage, name: len(getattr(thing, name)),
    "iter": lambda thing, stage: iter(thing),
    "repr": lambda thing, stage: repr(thing),
    "str": lambda thing, stage: str(thing),
    "format": lambda thing, stage, spec: format(thing, spec),
    "weakref": lambda thing, stage: weakref.ref(thing)() is thing,
    "weakref callback": _weakref_callback,
    "present": _present,
    "signature": _signature,
    "signature of the type": lambda thing, stage: str(inspect.signature(stage.type)),
    "callable": lambda thing, stage, name: callable(getattr(thing, name)),
    "unbound": lambda thing, stage, name, *args: getattr(stage.type, name)(*args),
    "bound to itself": lambda thing, stage, name: getattr(thing, name).__self__ is thing,
    "warnings of": _warnings,
    "release in a thread": _release_in_thread,
    "acquire in a thread": _acquire_in_thread,
    "wake a waiter": _wake,
    **INTERNALS,
}
