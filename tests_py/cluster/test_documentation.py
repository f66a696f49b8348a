"""The programs of docs/cluster.md, on a real etcd."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.once


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program, tmp_path):
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, timeout=60, check=False
        )
        assert done.returncode == 0


def test_there_are_programs():
    assert len(PROGRAMS) == 3
