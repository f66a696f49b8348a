"""Run the models and the long form of the stress tests, and print a table of totals.

Usage: python tests_py/soak.py

Takes about half an hour. Run by `make soak`, with the interpreter of a virtual environment that has
golock and the tests' requirements. Exits with 1 when a part has failed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STRESS = ROOT / "tests_py" / "stress"
DIFFERENTIAL = STRESS / "test_differential.py"
LIMITS = ROOT / "tests_py" / "unit" / "test_limits.py"
GO = os.environ.get("GO", "go")
GO_TEST = [GO, "test", "./tests_go", "-count=1", "-timeout=20m", "-run=SameAsTheModel"]


class Part:
    """Commands that run side by side; each takes the file for its totals as last argument."""

    def __init__(self, name: str, *commands: list[str], **environment: str) -> None:
        self.name = name
        self.commands = commands
        self.environment = environment

    def run(self, totals: Counter[str]) -> bool:
        print(f"== {self.name}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, str(number)) for number in range(len(self.commands))]
            running = [
                subprocess.Popen(
                    [*command, str(file)], cwd=ROOT, env=dict(os.environ, **self.environment)
                )
                for command, file in zip(self.commands, files, strict=True)
            ]
            statuses = [process.wait() for process in running]
            for file in files:
                if file.exists():
                    totals.update(json.loads(file.read_text()))
        minutes = (time.monotonic() - began) / 60
        verdict = "FAILED" if any(statuses) else "passed"
        print(f"== {self.name}: {verdict}, {minutes:.1f} minutes", flush=True)
        return not any(statuses)


def stress(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments, "--totals"]


PARTS = [
    Part("the model", [sys.executable, "protocol/verify.py", "--all", "--totals"]),
    Part(
        "golock against the interpreter's lock, and the Go API against a model",
        stress("--soak", str(DIFFERENTIAL)),
        [*GO_TEST, "-args", "-soak=10m", "-totals"],
    ),
    Part(
        "the stress tests",
        stress("--soak", str(STRESS), str(LIMITS), f"--ignore={DIFFERENTIAL}"),
    ),
    Part(
        "the stress tests without the fast path, in their short form",
        stress(str(STRESS), f"--ignore={DIFFERENTIAL}"),
        GOLOCK_FASTPATH="0",
    ),
]


def main() -> int:
    totals: Counter[str] = Counter()
    began = time.monotonic()
    failed = [part.name for part in PARTS if not part.run(totals)]
    minutes = (time.monotonic() - began) / 60
    go = subprocess.run([GO, "env", "GOVERSION"], check=True, capture_output=True, text=True)
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {minutes:.0f} minutes,"
        f" CPython {platform.python_version()}, {go.stdout.strip()},"
        f" Linux {platform.release()}, {os.cpu_count()} CPUs\n"
    )
    print("| what | how many |\n| --- | ---: |")
    for what, number in sorted(totals.items()):
        print(f"| {what} | {number:,} |")
    print(f"\n{'FAILED: ' + ', '.join(failed) if failed else 'all parts passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
