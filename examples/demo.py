"""Run threaded programs unchanged, without golock and on it, and compare their times."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = {
    "pipeline.py": "a queue between 6 threads",
    "crawl.py": "an http.server and 16 crawlers",
}
ROUNDS = 3
SIDES = ([], ["-m", "golock", "run"])


def seconds(command: list[str]) -> float:
    """Run a program and return how long it took; its output is shown if it fails."""
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout.decode()}exit status {done.returncode}")
    return time.monotonic() - begin


def main() -> None:
    print(f"Programs of threads, without golock and on it: the best of {ROUNDS} runs, in turn.\n")
    print(f"{'program':<44}{'without':>9}{'golock':>9}{'ratio':>7}")
    for name, what in PROGRAMS.items():
        program = str(Path(__file__).with_name(name))
        runs = [
            [seconds([sys.executable, *side, program]) for side in SIDES] for _ in range(ROUNDS)
        ]
        without, on_golock = map(min, zip(*runs, strict=True))
        ratio = on_golock / without
        print(f"{name}: {what:<{42 - len(name)}}{without:>7.2f} s{on_golock:>7.2f} s{ratio:>7.2f}")
    print()


if __name__ == "__main__":
    main()
