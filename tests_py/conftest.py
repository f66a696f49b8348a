from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Undo what a shell without job control does to programs in its background: ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def python() -> Python:
    """Run a program in a process of its own; its output is text, its status is not checked."""

    def run(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 120}
        settings.update(options)
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        return subprocess.run(command, check=False, **settings)  # type: ignore[call-overload]

    return run
