"""What was closed is entered again, and would give an address that keeps nothing alive."""

from __future__ import annotations

import pytest

import golock


def test_what_was_closed_cannot_be_entered():
    shared = golock.shared(golock.Lock())
    with shared:
        pass
    with pytest.raises(ValueError, match="shared no more"), shared:
        pass
