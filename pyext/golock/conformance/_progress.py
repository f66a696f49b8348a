"""Says on the standard error how far a long run has got."""

from __future__ import annotations

import sys
import time
from collections import Counter

from ._worker import Job

_PATIENCE = 2.0
_PARTS = {"cases": "cases", "lock_tests": "test.lock_tests", "contention": "contention"}


class Progress:
    """One line that changes on a terminal, otherwise a line a kind, or every few seconds.

    Nothing is said in the first two seconds, and nothing at all if it is to be quiet.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._begin = self._last = time.monotonic()
        self._shown: tuple[str, str] | None = None
        self._width = 0
        self._totals: Counter[tuple[str, str]] = Counter()
        self._done: Counter[tuple[str, str]] = Counter()

    def expect(self, jobs: list[Job]) -> None:
        """Take note of jobs that are to be done."""
        self._totals.update((part, kind) for part, kind, _, _ in jobs)

    def begin(self, job: Job) -> None:
        """Say, perhaps, that a job begins."""
        part, kind, group, name = job
        self._done[part, kind] += 1
        now = time.monotonic()
        if self._quiet or part not in _PARTS or now < self._begin + _PATIENCE:
            return
        count = f"{self._done[part, kind]} of {self._totals[part, kind]}"
        text = f"{kind}, {_PARTS[part]}, {count}: {group or name}"
        if self._terminal:
            if now > self._last + 0.1:
                self._last = now
                self._write(text[:100])
        elif self._shown != (part, kind) or now > self._last + 5:
            self._shown, self._last = (part, kind), now
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)
