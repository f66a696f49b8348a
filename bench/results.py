"""The files of figures: ``results/<python version>/<benchmark>.json``."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from golock.bench import describe_machine

ROOT = Path(__file__).resolve().parent / "results"
MACHINE = describe_machine()  # before anything is measured, because it includes the load


def path(benchmark: str) -> Path:
    """Return the file of a benchmark for the running interpreter; make its directory."""
    directory = ROOT / str(MACHINE["python"])
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{benchmark}.json"


def parse_fast(description: str | None) -> bool:
    """Return whether the command line has ``--fast``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--fast", action="store_true", help="fewer and shorter runs")
    return bool(parser.parse_args().fast)


def save(benchmark: str, figures: dict[str, Any], *, fast: bool) -> None:
    """Write `figures` with the machine and today's date."""
    origin = {
        "machine": MACHINE,
        "date": datetime.date.today().isoformat(),
        "fast": fast,
    }
    file = path(benchmark)
    file.write_text(json.dumps(origin | figures, indent=1) + "\n", encoding="utf-8")
    print(file)


def load(benchmark: str, version: str) -> dict[str, Any] | None:
    """Return what `save` wrote for that version of Python, or None."""
    file = ROOT / version / f"{benchmark}.json"
    if not file.exists():
        return None
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures
