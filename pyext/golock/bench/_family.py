"""The two sides of every measure: golock's synchronization classes and the interpreter's.

Both are available whatever is installed, so that no measure has to install or uninstall.
"""

from __future__ import annotations

import functools
import importlib.util
import threading as standard
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Protocol

import golock
from golock import threading as golock_threading

from .. import _interpreter


class Lock(Protocol):
    """What ``_thread.lock`` and golock's lock have in common."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


Allocate = Callable[[], Lock]


@dataclass(frozen=True)
class Family:
    """The names that a measured statement uses."""

    allocate_lock: Allocate
    threading: ModuleType
    """Defines the names of the standard module's synchronization classes."""
    queue: ModuleType
    """The standard module, with queues made of this family's locks and conditions."""
    futures: ModuleType
    """The standard ``concurrent.futures.thread``, with executors made of the same."""


def _instance(name: str) -> ModuleType:
    """Return a second instance of a standard module."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"this interpreter has no {name} module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queue_over(threading: ModuleType) -> ModuleType:
    """Return a second instance of the standard ``queue``, which uses `threading` as its own."""
    module = _instance("queue")
    vars(module)["threading"] = threading
    return module


def futures_over(threading: ModuleType) -> ModuleType:
    """Return a second instance of ``concurrent.futures.thread``, which uses `threading`.

    Its threads are those of the standard module.
    """
    names = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
    family = SimpleNamespace(**vars(standard))
    for name in names:
        setattr(family, name, getattr(threading, name, getattr(standard, name)))
    base, module = _instance("concurrent.futures._base"), _instance("concurrent.futures.thread")
    vars(base)["threading"] = family
    vars(module).update(threading=family, _base=base, _global_shutdown_lock=family.Lock())
    return module


def _family(allocate_lock: Allocate, threading: ModuleType) -> Family:
    return Family(allocate_lock, threading, queue_over(threading), futures_over(threading))


@functools.cache
def golock_family() -> Family:
    """Return what a program has after ``golock.install()``."""
    return _family(golock.allocate_lock, golock_threading)


@functools.cache
def interpreter_family() -> Family:
    """Return what a program has without golock, even while golock is installed.

    Raises ImportError if the code of the standard library's modules cannot be found.
    """
    threading = _interpreter.threading()
    return _family(threading._allocate_lock, threading)
