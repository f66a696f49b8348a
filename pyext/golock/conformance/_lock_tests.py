"""Runs the interpreter's own ``test.lock_tests``, unmodified, over two families.

Each of its classes is given a type to test as ``test.test_threading`` gives it.
"""

from __future__ import annotations

import io
import platform
import sys
import unittest
from collections.abc import Iterable
from typing import Any, NamedTuple

from ._family import Factory, Family

ATTEMPTS = 3
"""How often a test may fare differently before it counts: some measure times."""


class Suite(NamedTuple):
    """A class of lock_tests, the attribute that names the type to test, and that type."""

    name: str
    base: str
    attribute: str
    type: str
    skipped: tuple[str, ...] = ()


SUITES = (
    Suite("LockTests", "LockTests", "locktype", "Lock"),
    Suite("RLockTests", "RLockTests", "locktype", "RLock"),
    Suite("ConditionTests", "ConditionTests", "condtype", "Condition"),
    # test_threading skips the same tests: a Condition does not have all that an RLock has.
    Suite(
        "ConditionAsRLockTests",
        "RLockTests",
        "locktype",
        "Condition",
        ("test_constructor_noargs", "test_recursion_count"),
    ),
    Suite("SemaphoreTests", "SemaphoreTests", "semtype", "Semaphore"),
    Suite("BoundedSemaphoreTests", "BoundedSemaphoreTests", "semtype", "BoundedSemaphore"),
    Suite("EventTests", "EventTests", "eventtype", "Event"),
    Suite("BarrierTests", "BarrierTests", "barriertype", "Barrier"),
)


class TestReport(NamedTuple):
    """One test method over both families: ``ok``, ``failed``, ``error`` or ``skipped``."""

    group: str
    name: str
    interpreter: str
    subject: str
    detail: str

    @property
    def same(self) -> bool:
        """Return whether both fared alike."""
        return self.interpreter == self.subject


class LockTestsReport(NamedTuple):
    """The outcome of all test methods, or why there are none."""

    title: str
    tests: list[TestReport]
    missing: str

    @property
    def differences(self) -> int:
        """Return how many tests fared differently."""
        return sum(not test.same for test in self.tests)

    @property
    def passed(self) -> int:
        """Return how many tests passed over both families."""
        return sum(test.same and test.subject == "ok" for test in self.tests)

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "missing": self.missing or None,
            "tests": [{**test._asdict(), "same": test.same} for test in self.tests],
            "passed": self.passed,
            "differences": self.differences,
        }


def run_lock_tests(interpreter: Family, subject: Family, types: Iterable[str]) -> LockTestsReport:
    """Run every method of the types' classes over both families, one after the other."""
    title = "The interpreter's own test.lock_tests"
    try:
        from test import lock_tests  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        return LockTestsReport(title, [], f"not run: {missing_package_sentence()}")
    wanted = set(types)
    tests: list[TestReport] = []
    for suite in SUITES:
        if suite.type in wanted and hasattr(lock_tests, suite.base):
            base = getattr(lock_tests, suite.base)
            theirs = _case(suite, base, interpreter.factories[suite.type])
            mine = _case(suite, base, subject.factories[suite.type])
            tests += [
                _compared(suite, name, theirs, mine)
                for name in unittest.defaultTestLoader.getTestCaseNames(base)
                if name not in suite.skipped
            ]
    return LockTestsReport(title, tests, "")


def _case(suite: Suite, base: type[Any], factory: Factory) -> type[Any]:
    return type(suite.name, (base,), {suite.attribute: staticmethod(factory)})


def _compared(suite: Suite, name: str, theirs: type[Any], mine: type[Any]) -> TestReport:
    for _ in range(ATTEMPTS):
        status, _ = _run(theirs(name))
        report = TestReport(suite.name, name, status, *_run(mine(name)))
        if report.same:
            break
    return report


def _run(test: Any) -> tuple[str, str]:
    """Return how a test fared, and what was said of it."""
    result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.TestSuite([test]))
    for status, group in (
        ("failed", result.failures),
        ("error", result.errors),
        ("skipped", result.skipped),
    ):
        for _, detail in group:
            return status, detail
    return "ok", ""


def missing_package_sentence() -> str:
    """Say that this interpreter has no ``test`` package, and which system package brings it."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    packages = {
        "debian": f"libpython{version}-testsuite",
        "ubuntu": f"libpython{version}-testsuite",
        "fedora": "python3-test",
        "rhel": "python3-test",
        "centos": "python3-test",
        "suse": f"python{version.replace('.', '')}-testsuite",
        "opensuse": f"python{version.replace('.', '')}-testsuite",
        "alpine": "python3-tests",
    }
    found = [packages[name] for name in packages if name in family]
    advice = (
        f"the package {found[0]} brings it"
        if found
        else "install the one that belongs to this interpreter"
    )
    return f"this interpreter has no 'test' package; {advice}"
