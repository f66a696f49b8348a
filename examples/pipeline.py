"""Count the words of a log with a pipeline of threads: one reads, four parse, one writes.

Nothing here knows golock; run it as ``python -m golock run examples/pipeline.py``.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter

LINES = 200_000
PARSERS = 4


def read(lines: queue.Queue[str | None]) -> None:
    """Put the lines of the log into the queue, and None for each parser at the end."""
    for number in range(LINES):
        lines.put(f"{number} GET /page/{number % 97} {200 if number % 10 else 404}")
    for _ in range(PARSERS):
        lines.put(None)


def parse(lines: queue.Queue[str | None], parsed: queue.Queue[tuple[str, str] | None]) -> None:
    """Split each line into what the writer counts."""
    while (line := lines.get()) is not None:
        _, _, page, status = line.split()
        parsed.put((page, status))
    parsed.put(None)


def write(parsed: queue.Queue[tuple[str, str] | None], counts: Counter[tuple[str, str]]) -> None:
    """Count what the parsers found, until all of them have ended."""
    running = PARSERS
    while running:
        entry = parsed.get()
        if entry is None:
            running -= 1
        else:
            counts[entry] += 1


def main() -> None:
    lines: queue.Queue[str | None] = queue.Queue(maxsize=64)
    parsed: queue.Queue[tuple[str, str] | None] = queue.Queue(maxsize=64)
    counts: Counter[tuple[str, str]] = Counter()
    threads = [
        threading.Thread(target=read, args=(lines,)),
        *(threading.Thread(target=parse, args=(lines, parsed)) for _ in range(PARSERS)),
        threading.Thread(target=write, args=(parsed, counts)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{counts.total()} lines, {len(counts)} kinds, {len(threads)} threads")
    if counts.total() != LINES:
        raise SystemExit(f"expected {LINES} lines")


if __name__ == "__main__":
    main()
