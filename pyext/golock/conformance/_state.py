"""What a case's start state asks for, and how the state after it is told, kind by kind."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any

MOST = 1000
"""Where counting a semaphore's value ends."""


def arguments(kind: str, start: str) -> list[Any]:
    """Return what an object of the kind is made with: the number in ``value 2``, ``parties 3``."""
    return [int(start.partition(" ")[2])] if kind in _NUMBERED else []


_NUMBERED = {"Semaphore", "BoundedSemaphore", "Barrier"}


def prepare(thing: Any, start: str) -> None:
    """Bring a new object into its start state."""
    if start == "held":
        try:
            taken = thing.acquire(False)
        except TypeError:  # it cannot be told not to block
            taken = thing.acquire()
        if taken is False:
            raise RuntimeError("a new lock cannot be taken")
    if start == "set":
        thing.set()


def state(kind: str, thing: Any) -> str:
    """Return the state of an object; that of a semaphore is lost by asking."""
    try:
        return _STATES[kind](thing)
    except Exception as error:
        return f"unknown: {type(error).__name__}"


def _lock(lock: Any) -> str:
    if not hasattr(lock, "locked"):
        return _rlock(lock)
    return "held" if lock.locked() else "free"


def _rlock(lock: Any) -> str:
    """Ask in another thread, whose lock it is not."""
    answers: list[Any] = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask() -> None:
        try:
            answers.append(lock.acquire(False))
            if answers[0]:
                lock.release()
        except Exception as error:
            answers.append(error)
        finally:
            done.release()

    _thread.start_new_thread(ask, ())
    done.acquire()
    if isinstance(answers[-1], Exception):
        raise answers[-1]
    return "free" if answers[0] else "held"


def _semaphore(semaphore: Any) -> str:
    value = 0
    while value < MOST and semaphore.acquire(False):
        value += 1
    return f"value {value}" if value < MOST else f"value {MOST} or more"


def _event(event: Any) -> str:
    return "set" if event.is_set() else "unset"


def _barrier(barrier: Any) -> str:
    return "broken" if barrier.broken else f"{barrier.n_waiting} waiting"


_STATES: dict[str, Callable[[Any], str]] = {
    "Lock": _lock,
    "RLock": _rlock,
    "Condition": _rlock,
    "Semaphore": _semaphore,
    "BoundedSemaphore": _semaphore,
    "Event": _event,
    "Barrier": _barrier,
}
