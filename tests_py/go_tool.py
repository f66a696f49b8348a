"""The go command, and the marks of tests that run it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

GO = shutil.which(os.environ.get("GO", "go")) or ""
SOURCE = Path(__file__).resolve().parents[1]

needs_go = pytest.mark.skipif(not GO, reason="there is no go command")
needs_source = pytest.mark.skipif(
    not (SOURCE / "go.mod").exists(), reason="the source tree is not beside the tests"
)
# A first build fills Go's cache, which takes minutes on a small machine.
takes_minutes = pytest.mark.timeout(900)
