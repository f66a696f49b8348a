"""Run a test module and write each test's outcome to a file, a JSON object a line.

A program, not to be imported: ``_record_tests.py MODULE REPORT [IDS]``. ``IDS`` names a file with a
JSON list of the tests to run, in place of all. What is written stays when the process dies.

The interpreter's tests start their child interpreters with ``-I`` unless told that an interpreter
here needs its environment. They are told so: children then see ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Recorder(unittest.TestResult):
    """Writes what a test did when it ends; a test's outcome is the worst of its parts."""

    SEVERITY = ("ok", "expected failure", "skipped", "unexpected success", "failed", "error")

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._process = os.getpid()
        self._running = ""
        self._outcome, self._detail = "ok", ""
        self._begin = 0.0

    def write(self, **line: Any) -> None:
        """Write a line; in a forked child that came back here, do nothing."""
        if os.getpid() == self._process:
            os.write(self._file, json.dumps(line).encode() + b"\n")

    def startTest(self, test: Any) -> None:  # noqa: N802
        super().startTest(test)
        self._running = test.id()
        self._outcome, self._detail = "ok", ""
        self._begin = time.monotonic()
        self.write(start=self._running)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        if not self._running:  # 3.12.1 stops a skipped test that it has not started
            return
        self.write(
            test=self._running,
            outcome=self._outcome,
            detail=self._detail,
            seconds=time.monotonic() - self._begin,
        )
        self._running = ""

    def _note(self, test: Any, outcome: str, detail: str) -> None:
        if not self._running:  # setUpClass and the like, or a skipped test of 3.12.1
            self.write(test=test.id(), outcome=outcome, detail=detail, seconds=0.0)
        elif self.SEVERITY.index(outcome) > self.SEVERITY.index(self._outcome):
            self._outcome, self._detail = outcome, detail

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._note(test, "error", self.errors[-1][1])

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            details = self.failures if failed else self.errors
            self._note(test, "failed" if failed else "error", details[-1][1])

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure", "")

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success", "")


def tests_in(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def load(module: str) -> list[unittest.TestCase] | str:
    """Return the module's tests, or why there are none."""
    try:
        __import__(module)
    except unittest.SkipTest as skipped:
        return f"skipped: {skipped}"
    except ModuleNotFoundError as missing:
        if missing.name is not None and f"{module}.".startswith(f"{missing.name}."):
            return "not there"
        raise
    return list(tests_in(unittest.defaultTestLoader.loadTestsFromName(module)))


def children_see_the_environment() -> None:
    try:
        from test.support import script_helper  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        return
    script_helper.__cached_interp_requires_environment = True


def main(module: str, report: str, ids: str | None = None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    sys.path[0] = str(Path.cwd())
    children_see_the_environment()
    recorder = Recorder(report)
    tests = load(module)
    if isinstance(tests, str):
        recorder.write(missing=tests)
        return
    if ids is not None:
        wanted = set(json.loads(Path(ids).read_text(encoding="utf-8")))
        tests = [test for test in tests if test.id() in wanted]
    recorder.write(tests=[test.id() for test in tests])
    unittest.TestSuite(tests).run(recorder)
    recorder.write(end=True)


if __name__ == "__main__":
    main(*(sys.argv.pop(1) for _ in sys.argv[1:]))
