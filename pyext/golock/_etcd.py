"""The library of golock-etcd, by ctypes.

Its functions do not wait. What takes time is a call: a thread begins it, waits for a
``golock.Event`` as golock's threads do, without the GIL and open to signals, and ends it.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from typing import Any

from . import _golock

# What golock_etcd_end returns.
DONE, NOT_ACQUIRED, LOST, RELEASED, FAILED, INVALID = range(6)

START_LIMIT = 5.0
"""Seconds. How long the Go runtime may take to start."""

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "core": (ctypes.c_void_p, []),
    "open": (ctypes.c_size_t, [ctypes.c_char_p, ctypes.c_int64, ctypes.c_size_t]),
    "close": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t]),
    "lock": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_char_p]),
    "acquire": (
        ctypes.c_size_t,
        [ctypes.c_size_t, ctypes.c_bool, ctypes.c_int64, ctypes.c_size_t],
    ),
    "release": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_size_t]),
    "discard": (None, [ctypes.c_size_t]),
    "holder": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t]),
    "commit": (
        ctypes.c_size_t,
        [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int64, ctypes.c_size_t],
    ),
    "is_lost": (ctypes.c_bool, [ctypes.c_size_t]),
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
    release: Any
    discard: Any
    holder: Any
    commit: Any
    is_lost: Any
    describe: Any
    tell: Any
    next_lost: Any
    forget: Any
    free: Any

    def __init__(self, path: str, *, private: bool) -> None:
        """Load the library and offer its core.

        Raises OSError, or CoreError if the Go runtime does not start.
        """
        self._copy = _copy(path) if private else None
        name = path if self._copy is None else f"/proc/self/fd/{self._copy}"
        # PyDLL keeps the GIL: giving it up takes longer than a call. Only end() may wait.
        library, waiting = ctypes.PyDLL(name), ctypes.CDLL(name)
        for function, (result, arguments) in _FUNCTIONS.items():
            entry = library[f"golock_etcd_{function}"]
            entry.restype, entry.argtypes = result, arguments
            setattr(self, function, entry)
        self._end: Any = waiting.golock_etcd_end
        self._end.restype = ctypes.c_int
        self._end.argtypes = [
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_size_t),
            ctypes.POINTER(ctypes.c_int64),
            ctypes.POINTER(ctypes.c_void_p),
        ]
        limit = time.monotonic() + START_LIMIT
        core = self.core()
        while core is None:
            if time.monotonic() > limit:
                raise _golock.CoreError("the Go runtime of golock-etcd has not started")
            time.sleep(0.0002)
            core = self.core()
        if not _golock.core()["loaded"]:
            _golock.use_core(core)

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


class Call:
    """What the library does in the background for a thread, which waits for its end.

    It is used in a with statement: what ends the block by an exception also ends the call.
    """

    def __init__(self, library: Library, function: Any, *arguments: Any) -> None:
        self._library = library
        self._event = _golock.Event()
        self.outcome = -1
        self.handle = 0
        """That of a hold, if the lock was acquired, or of a space."""
        self.token = 0
        self.text = ""
        """The answer, in JSON, or the error in words."""
        self._call: int = function(*arguments, _golock.address(self._event))

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, at most for so many seconds, cancel the call, return the outcome."""
        self._event.wait(timeout)
        self._end()
        return self.outcome

    def _end(self) -> None:
        handle, token, text = ctypes.c_size_t(), ctypes.c_int64(), ctypes.c_void_p()
        call, self._call = self._call, 0
        outcome: int = self._library._end(
            call, ctypes.byref(handle), ctypes.byref(token), ctypes.byref(text)
        )
        self.handle, self.token = handle.value, token.value
        self.text = self._library._text(text.value)
        self.outcome = outcome

    def __enter__(self) -> Call:
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if kind is not None:
            if self._call:
                self._end()
            if self.handle:
                self._library.discard(self.handle)


def _copy(path: str) -> int:
    """Return a descriptor of a copy of a file, which the dynamic linker takes for another one."""
    with open(path, "rb") as file:  # noqa: PTH123
        content = file.read()
    descriptor = os.memfd_create("golock-etcd", os.MFD_CLOEXEC)
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
    return descriptor
