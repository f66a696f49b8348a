"""The machine on which the figures were measured, and their table."""

from __future__ import annotations

import os
import platform
import re
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Describe what the figures are measured on: interpreter, system, processor, load.

    The version of a free-threaded interpreter ends in "t".
    """
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
    model = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version() + ("t" if free_threaded else ""),
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": model[1] if model else platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _number(value: float) -> str:
    """Format with three significant digits, and all digits before the point."""
    return f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"


def table_rows(measures: Iterable[dict[str, Any]], *, targets: bool) -> list[tuple[str, ...]]:
    """Return the cells of measures in ``--json`` form, the heading first."""
    rows: list[tuple[str, ...]] = [
        ("measure", "unit", "golock", "interpreter", "ratio", "golock is", "target", "met")
    ]
    for measure in measures:
        target = measure["target"]
        wanted = ""
        if target is not None:
            what = "ratio " if target["of"] == "ratio" else ""
            unit = f" {measure['unit']}" if target["of"] == "golock" else ""
            wanted = f"{what}{target['bound']} {target['limit']:g}{unit}"
        rows.append(
            (
                measure["name"],
                measure["unit"],
                _number(measure["golock"]),
                _number(measure["interpreter"]),
                f"{measure['ratio']:.2f}",
                measure["verdict"],
                wanted,
                {True: "yes", False: "no", None: ""}[measure["met"]],
            )
        )
    return rows if targets else [row[:-2] for row in rows]


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, "<<>>><<<"[: len(row)], widths, strict=True)
        print("  ".join(f"{cell:{align}{width}}" for cell, align, width in cells).rstrip())
