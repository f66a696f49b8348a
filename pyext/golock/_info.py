"""``python -m golock info``: what is installed here, and how it is set."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from . import __version__
from ._golock import core, get_handoff
from ._install import installed


def main(arguments: list[str]) -> int:
    """Print the description; the exit status is 0."""
    parser = argparse.ArgumentParser(
        prog="python -m golock info", description="Describe this installation."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    description = describe()
    if options.json:
        json.dump(description, sys.stdout, indent=2)
        print()
        return 0
    width = max(map(len, description))
    for name, value in description.items():
        print(f"{name.replace('_', ' '):<{width}}  {_text(value)}")
    return 0


def describe() -> dict[str, Any]:
    """Return versions, the core and its settings.

    ``handoff`` is in seconds; ``go`` is None until the core is loaded, and ``core_missing`` is why
    threads wait without it, or None.
    """
    state = core()
    return {
        "golock": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "processors": os.cpu_count(),
        "gil": _gil_enabled(),
        "core": state["path"],
        "core_loaded": state["loaded"],
        "core_missing": state["core_missing"],
        "core_symbol": state["symbol"],
        "core_private_copies": state["private_copies"],
        "go": state["go"],
        "fast_path": state["fastpath"],
        "handoff": get_handoff(),
        "installed": installed(),
    }


def _gil_enabled() -> bool:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return True if enabled is None else bool(enabled())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
