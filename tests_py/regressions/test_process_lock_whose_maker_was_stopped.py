"""A process that is stopped for long while it makes a page makes another one.

The page has no name yet, and others remove such pages when they are a minute old.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from golock import process
from golock.process import Lock


def test_new_page_is_removed_meanwhile(monkeypatch):
    name = secrets.token_hex(8)
    link, removed = os.link, []

    def stopped(new, path):
        if not removed:
            Path(new).unlink()
            removed.append(new)
        link(new, path)

    monkeypatch.setattr(os, "link", stopped)
    lock = Lock(name)
    assert removed
    with lock:
        assert Lock(name).locked()
    process.unlink(name)
