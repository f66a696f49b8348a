"""The error of locks that others may get before their holder has released them."""

from __future__ import annotations


class LockLost(RuntimeError):  # noqa: N818
    """The lock was held, but its lease ended: another process may have it."""
