"""A golock.shared can be entered once: entered again, it would keep nothing alive."""

from __future__ import annotations

import pytest

import golock


def test_what_was_closed_cannot_be_entered():
    shared = golock.shared(golock.Lock())
    with shared:
        pass
    with pytest.raises(ValueError, match="no longer shared"), shared:
        pass


def test_what_is_entered_cannot_be_entered():
    shared = golock.shared(golock.Lock())
    with shared as address:
        with pytest.raises(ValueError, match="already entered"), shared:
            pass
        assert golock.at(address).acquire(timeout=1)
