"""Giving a lock to Go, C and other code of the process."""

from __future__ import annotations

from . import _golock

TYPE_CHECKING = False  # importing typing would take longer than all of golock
if TYPE_CHECKING:
    from types import TracebackType

    from ._golock import Event, LockType, Semaphore


class shared:  # noqa: N801
    """Keep a Lock, a Semaphore or an Event alive for code that knows it by its address.

    In a ``with`` statement it gives the address, an int, and the object stays alive until the block
    has ended. Outside of one it lives until ``close()``, whether or not anything refers to it, and
    outlives the interpreter if need be::

        lock = golock.Lock()
        with golock.shared(lock) as address:
            pool.start(address)
            ...
            pool.stop()  # no goroutine uses the lock any more

    Raises TypeError for an object that cannot be shared, and ValueError when it is entered twice,
    or after it was closed.
    """

    address: int
    """Where its header is, which golock.h describes."""

    def __init__(self, primitive: LockType | Semaphore | Event) -> None:
        self.address = _golock.address(primitive)
        _golock.hold(primitive)
        self._held = [primitive]
        self._unentered = [True]

    def close(self) -> None:
        """Let go of the object: nobody uses the address any more. Doing so again does nothing."""
        try:
            primitive = self._held.pop()  # by one thread only
        except IndexError:
            return
        _golock.let_go(primitive)

    def __enter__(self) -> int:
        if not self._held:
            raise ValueError("the object is no longer shared: close() was called")
        try:
            self._unentered.pop()  # by one thread only
        except IndexError:
            raise ValueError("already entered: the end of one block would close both") from None
        return self.address

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def get_include() -> str:
    """Return the folder of ``golock.h``, for C code that uses an ``address`` or a ``capsule``."""
    return __file__.rpartition("/")[0] + "/include"
