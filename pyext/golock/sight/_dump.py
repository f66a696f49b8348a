"""A snapshot as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._model import Snapshot


def text(snapshot: Snapshot) -> str:
    """Return the snapshot as text for people."""
    return f"{len(snapshot.waits)} waits"
