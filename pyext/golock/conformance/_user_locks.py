"""Locks as a program may write them for a Condition, each with a part of a lock's methods."""

from __future__ import annotations

from typing import Any

from .. import _interpreter


class Minimal:
    """``acquire`` and ``release`` and nothing else."""

    def __init__(self) -> None:
        self._inner = _interpreter.thread().allocate_lock()
        self.calls: list[str] = []

    def acquire(self, blocking: bool = True) -> Any:
        """Acquire, and note it."""
        self.calls.append("acquire" if blocking else "acquire(False)")
        return self._inner.acquire(blocking)

    def release(self) -> None:
        """Release, and note it."""
        self.calls.append("release")
        self._inner.release()

    def noted(self) -> list[str]:
        """Return the calls since the last time, and forget them."""
        calls, self.calls = self.calls, []
        return calls


class NoArguments:
    """``acquire`` cannot be told not to block, so nobody can ask whether it is owned."""

    def __init__(self) -> None:
        self._inner = _interpreter.thread().allocate_lock()

    def acquire(self) -> Any:
        """Acquire."""
        return self._inner.acquire()

    def release(self) -> None:
        """Release."""
        self._inner.release()


class Context(Minimal):
    """With ``__enter__`` and ``__exit__``, ``__enter__`` of an answer of its own."""

    def __enter__(self) -> str:
        self.calls.append("__enter__")
        self._inner.acquire()
        return "entered"

    def __exit__(self, *exception: object) -> bool:
        self.calls.append(f"__exit__ of {len(exception)}")
        self._inner.release()
        return True  # which swallows the exception


class Locked(Context):
    """With ``locked`` too: all that a Condition of Python 3.14 and later asks for."""

    def locked(self) -> bool:
        """Return whether it is held, and note it."""
        self.calls.append("locked")
        return bool(self._inner.locked())


class Owned(Locked):
    """With the methods that a Condition uses in place of its own."""

    def _is_owned(self) -> bool:
        self.calls.append("_is_owned")
        return bool(self._inner.locked())

    def _release_save(self) -> str:
        self.calls.append("_release_save")
        self._inner.release()
        return "saved"

    def _acquire_restore(self, saved: object) -> None:
        self.calls.append(f"_acquire_restore({saved})")
        self._inner.acquire()

    def _at_fork_reinit(self) -> None:
        self.calls.append("_at_fork_reinit")


class Stubborn(Owned):
    """Owned, it says, but it cannot be released."""

    def _release_save(self) -> str:
        raise ZeroDivisionError


USER_LOCKS = {
    kind.__name__: kind for kind in (Minimal, NoArguments, Context, Locked, Owned, Stubborn)
}
