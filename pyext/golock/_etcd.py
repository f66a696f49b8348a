"""The library of golock-etcd, by ctypes.

What takes time is a call: a thread begins it, waits for a ``golock.Event`` as golock's threads do,
without the GIL and open to signals, and ends it. To begin an acquire or a release may take 20 ms,
in which the thread itself asks etcd: most have ended then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import time
from typing import TYPE_CHECKING, Any

from . import _golock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._golock import Event

# What golock_etcd_end returns.
DONE, NOT_ACQUIRED, LOST, RELEASED, FAILED, INVALID, PENDING = range(7)

START_LIMIT = 5.0
"""Seconds. How long the Go runtime may take to start."""

_HANDLE = ctypes.POINTER(ctypes.c_size_t)
_TOKEN = ctypes.POINTER(ctypes.c_int64)

_WAITING = {"acquire", "release", "end"}
"""The functions that wait for etcd, or for the end of a call, and give up the GIL for that."""

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "core": (ctypes.c_void_p, []),
    "open": (None, [ctypes.c_char_p, ctypes.c_int64, ctypes.c_size_t, _HANDLE]),
    "close": (None, [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t, _HANDLE]),
    "lock": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_char_p]),
    "acquire": (
        ctypes.c_int,
        [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t, _HANDLE, _HANDLE, _TOKEN],
    ),
    "begin_acquire": (None, [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t, _HANDLE]),
    "begin_release": (None, [ctypes.c_size_t, ctypes.c_size_t, _HANDLE]),
    "try_acquire": (None, [ctypes.c_size_t, ctypes.c_size_t, _HANDLE]),
    "release": (ctypes.c_int, [ctypes.c_size_t, ctypes.c_size_t, _HANDLE]),
    "end": (
        ctypes.c_int,
        [_HANDLE, ctypes.c_bool, _HANDLE, _TOKEN, ctypes.POINTER(ctypes.c_void_p)],
    ),
    "discard": (None, [_HANDLE]),
    "holder": (None, [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t, _HANDLE]),
    "commit": (
        None,
        [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int64, ctypes.c_size_t, _HANDLE],
    ),
    "is_lost": (ctypes.c_bool, [ctypes.c_size_t]),
    "view": (None, [ctypes.c_size_t, ctypes.c_void_p]),
    "describe": (ctypes.c_void_p, [ctypes.c_size_t]),
    "tell": (None, [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t]),
    "next_lost": (ctypes.c_size_t, []),
    "forget": (None, [ctypes.c_size_t]),
    "free": (None, [ctypes.c_void_p]),
}


class Library:
    """The library, loaded into this process.

    A Go runtime does not survive a fork, so a child loads a private copy, with a runtime of its
    own.
    """

    core: Any
    open: Any
    close: Any
    lock: Any
    acquire: Any
    begin_acquire: Any
    begin_release: Any
    try_acquire: Any
    release: Any
    end: Any
    discard: Any
    holder: Any
    commit: Any
    is_lost: Any
    view: Any
    describe: Any
    tell: Any
    next_lost: Any
    forget: Any
    free: Any

    def __init__(self, path: str, *, private: bool) -> None:
        """Load the library and offer its core.

        Raises OSError, or CoreError if the Go runtime does not start.
        """
        self._pid = os.getpid()
        # PyDLL keeps the GIL: giving it up takes longer than a call.
        if private:
            with _copy(path) as name:
                library, waiting = ctypes.PyDLL(name), ctypes.CDLL(name)
        else:
            library, waiting = ctypes.PyDLL(path), ctypes.CDLL(path)
        for function, (result, arguments) in _FUNCTIONS.items():
            loaded = waiting if function in _WAITING else library
            entry = loaded[f"golock_etcd_{function}"]
            entry.restype, entry.argtypes = result, arguments
            setattr(self, function, entry)
        self._events: list[Event] = []
        self._all_events: list[Event] = []  # that the library may set after the end of a call
        limit = time.monotonic() + START_LIMIT
        core = self.core()
        while core is None:
            if time.monotonic() > limit:
                raise _golock.CoreError("the Go runtime of golock-etcd has not started")
            time.sleep(0.0002)
            core = self.core()
        if not _golock.core()["loaded"]:
            _golock.use_core(core)

    def is_loaded(self) -> bool:
        """Return whether this process has loaded it, and not its parent."""
        return self._pid == os.getpid()

    def show(self, known: _golock.KnownLock, handle: int) -> None:
        """Have golock.sight ask the library for the lock of a handle."""
        known.ask(ctypes.cast(self.view, ctypes.c_void_p).value or 0, handle)

    def take_event(self) -> Event:
        """Return an event that is not set."""
        try:
            event = self._events.pop()
        except IndexError:
            event = _golock.Event()
            self._all_events.append(event)
        else:
            event.clear()
        return event

    def give_event(self, event: Event) -> None:
        self._events.append(event)

    def describe_hold(self, hold: int) -> tuple[str, int]:
        """Return a hold's key in etcd, and its revision."""
        key, revision = json.loads(self._text(self.describe(hold)))
        return key, revision

    def _text(self, address: int | None) -> str:
        if not address:
            return ""
        text = ctypes.string_at(address).decode(errors="replace")
        self.free(address)
        return text


class Handle:
    """A hold or a space of the library. It is released or closed when nothing refers to it."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.cell = ctypes.c_size_t()

    @property
    def number(self) -> int:
        return self.cell.value

    def __del__(self) -> None:
        if self.cell.value and self._library.is_loaded():
            self._library.discard(ctypes.byref(self.cell))

    def release(self) -> None:
        """Release a hold in the background, unless it was released. Another thread may use it."""
        if self.cell.value and self._library.is_loaded():
            Call(self._library, self._library.begin_release, self.cell.value).drop()


class Call:
    """What the library does for a thread, which waits for its end.

    A signal may end the thread's work between any two steps of Python. So the library itself writes
    to the cells what it has begun and what it returns, and what is dropped ends by its finalizer.
    That may be late: whoever handles the exception has a traceback, and so the call.
    """

    def __init__(
        self,
        library: Library,
        function: Any,
        *arguments: Any,
        acquires: bool = False,
        known: _golock.KnownLock | None = None,
    ) -> None:
        self._library = library
        self._known = known
        self._event = library.take_event()
        self._started = ctypes.c_size_t()
        self._token = ctypes.c_int64()
        self.handle = Handle(library)
        """That of a hold, if the lock was acquired, or of a space."""
        self.text = ""
        """The answer, in JSON, or the error in words."""
        cells = [ctypes.byref(self._started)]
        if acquires:
            cells += [ctypes.byref(self.handle.cell), ctypes.byref(self._token)]
        try:
            outcome = function(*arguments, _golock.address(self._event), *cells)
        except BaseException:
            self.drop()
            if acquires:
                self.handle.release()
            raise
        self.outcome: int = PENDING if outcome is None else outcome

    @property
    def token(self) -> int:
        return self._token.value

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, at most for so many seconds, cancel the call, return the outcome."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.outcome == PENDING:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            self._end(cancel=not self._wait(left))
        self._library.give_event(self._event)
        return self.outcome

    def _wait(self, timeout: float | None) -> bool:
        if self._known is None:
            return self._event.wait(timeout)
        return self._known.wait(self._event, timeout)  # shown as a wait for the lock

    async def wait_async(self, timeout: float | None = None) -> int:
        """Do what wait does, in a task."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.outcome == PENDING:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            self._end(cancel=not await self._wait_async(left))
        self._library.give_event(self._event)
        return self.outcome

    async def _wait_async(self, timeout: float | None) -> bool:
        if self._known is None:
            return await self._event.wait_async(timeout)
        return await self._known.wait_async(self._event, timeout)

    def _end(self, *, cancel: bool) -> None:
        text = ctypes.c_void_p()
        self.outcome = self._library.end(
            ctypes.byref(self._started),
            cancel,
            ctypes.byref(self.handle.cell),
            ctypes.byref(self._token),
            ctypes.byref(text),
        )
        self.text = self._library._text(text.value)

    def drop(self) -> None:
        """Cancel the call unless it has ended. A child that was forked meanwhile has no call."""
        if self._started.value and self._library.is_loaded():
            self._end(cancel=True)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        self.drop()

    def __del__(self) -> None:
        self.drop()


@contextlib.contextmanager
def _copy(path: str) -> Iterator[str]:
    """Return the name of a copy of a file, which the dynamic linker takes for another one.

    The linker knows libraries by their names. A descriptor may have the number that it had in the
    parent, so the name also tells how many forks there were.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        content = file.read()
    descriptor = os.memfd_create("golock-etcd", os.MFD_CLOEXEC)
    try:
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        yield f"/proc/self/{'./' * _forks}fd/{descriptor}"
    finally:
        os.close(descriptor)


_forks = 0


def _after_fork_in_child() -> None:
    global _forks  # noqa: PLW0603
    _forks += 1


os.register_at_fork(after_in_child=_after_fork_in_child)
