"""What becomes of the deadlocks, and the circles in the order of locks, that are found."""

from __future__ import annotations

import os
import sys
import threading

from .. import _golock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from ._model import Deadlock, OrderCycle

    Found: TypeAlias = Deadlock | OrderCycle
    OnDeadlock: TypeAlias = (
        Literal["report", "raise"]
        | logging.Logger
        | logging.LoggerAdapter[Any]
        | Callable[[Found], object]
        | None
    )

_IGNORE, _REPORT, _RAISE, _QUEUE = range(4)
_NAMED = {"report": _REPORT, "raise": _RAISE}


class _Reaction:
    """What start() was asked for last."""

    def __init__(self) -> None:
        self._what, self._threshold = _IGNORE, 1
        self._tell: Callable[[Found], object] | None = None

    def set(self, what: int, threshold: int, tell: Callable[[Found], object] | None = None) -> None:
        self._what, self._threshold, self._tell = what, threshold, tell
        ticket = _golock.set_on_deadlock(what, threshold)
        if tell is not None:
            thread = threading.Thread(
                target=_take, args=(ticket, tell), name="golock.sight", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                self.set(_REPORT, threshold)
                raise

    def set_again(self) -> None:
        """In a child made by fork, where the thread does not exist."""
        if self._tell is not None:
            self.set(self._what, self._threshold, self._tell)


_reaction = _Reaction()
os.register_at_fork(after_in_child=_reaction.set_again)


def react(on_deadlock: OnDeadlock, threshold: float) -> None:
    """Let deadlocks be told in this way, once a wait has lasted for `threshold` seconds.

    Raises TypeError or ValueError for what start() does not take.
    """
    limit = nanoseconds("threshold", threshold)
    if limit == 0:
        raise ValueError(f"the threshold is not positive: {threshold!r}")
    if on_deadlock is None:
        _reaction.set(_IGNORE, limit)
    elif isinstance(on_deadlock, str):
        if on_deadlock not in _NAMED:
            raise ValueError(f"on_deadlock is none of {', '.join(_NAMED)}: {on_deadlock!r}")
        _reaction.set(_NAMED[on_deadlock], limit)
    else:
        tell = _log_of(on_deadlock) or on_deadlock
        if not callable(tell):
            raise TypeError(f"on_deadlock is no function and no logger: {on_deadlock!r}")
        _reaction.set(_QUEUE, limit, tell)


def nanoseconds(what: str, seconds: float) -> int:
    """Return a time as nanoseconds; raises TypeError or ValueError for what is none."""
    try:
        is_valid = 0 <= seconds < 1e9
    except TypeError:
        raise TypeError(f"the {what} is not a number of seconds: {seconds!r}") from None
    if not is_valid:
        raise ValueError(f"the {what} is not a number of seconds from 0 to 1e9: {seconds!r}")
    return round(seconds * 1e9)


def reaction_named(words: list[str]) -> dict[str, Any]:
    """Return the arguments of start() for what GOLOCK_SIGHT has behind the level."""
    arguments: dict[str, Any] = {}
    for word in words:
        if word in _NAMED or word == "ignore":
            arguments["on_deadlock"] = word if word in _NAMED else None
        else:
            try:
                arguments["threshold"] = float(word)
            except ValueError:
                raise ValueError(
                    f"{word!r} is none of {', '.join(_NAMED)}, ignore, and no number of seconds"
                ) from None
    return arguments


def _log_of(on_deadlock: object) -> Callable[[Found], object] | None:
    logging = sys.modules.get("logging")  # whoever has a logger has imported it
    if logging is None or not isinstance(on_deadlock, (logging.Logger, logging.LoggerAdapter)):
        return None

    def log(found: Found) -> None:
        level = logging.ERROR if getattr(found, "certain", False) else logging.WARNING
        if _can_log(on_deadlock):
            on_deadlock.log(level, "%s", found)
        elif sys.stderr is not None:
            sys.stderr.write(f"golock.sight: {found}\n")

    return log


_HANDLER_LASTS = 1.0
"""Seconds. Who has a handler's lock for longer may be in the deadlock, and keep it."""


def _can_log(logger: logging.Logger | logging.LoggerAdapter[Any]) -> bool:
    """Return whether all locks of a logger's handlers are free at some time soon."""
    its: Any = logger
    while hasattr(its, "logger"):  # an adapter
        its = its.logger
    while its is not None:
        for handler in its.handlers:
            if handler.lock is not None:
                if not handler.lock.acquire(timeout=_HANDLER_LASTS):
                    return False
                handler.lock.release()
        its = its.parent if its.propagate else None
    return True


def _take(ticket: int, tell: Callable[[Found], object]) -> None:
    """Tell of what is found until the ticket ends."""
    from ._model import decode  # noqa: PLC0415

    while (image := _golock.next_deadlock(ticket)) is not None:
        snapshot = decode(image)
        every: tuple[Found, ...] = (*snapshot.deadlocks, *snapshot.order)
        for found in every:
            try:
                tell(found)
            except BaseException as error:
                _golock.write_unraisable(error, tell)
