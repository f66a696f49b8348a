"""The includes of the extension's layers point down, and docs/design.md shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_layers_are_drawn_as_they_are():
    command = [sys.executable, ROOT / "pyext" / "native" / "layers.py"]
    drawn = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert drawn.rstrip() in (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
