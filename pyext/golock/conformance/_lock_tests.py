"""Runs the interpreter's own ``test.lock_tests.LockTests``, unmodified, over two locks."""

from __future__ import annotations

import io
import platform
import sys
import unittest
from typing import Any, NamedTuple

from ._play import Subject


class TestReport(NamedTuple):
    """One test method over both locks: ``ok``, ``failed``, ``error`` or ``skipped``."""

    name: str
    interpreter: str
    subject: str
    detail: str

    @property
    def same(self) -> bool:
        """Return whether both locks fared alike."""
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
        """Return how many tests passed over both locks."""
        return sum(test.same and test.subject == "ok" for test in self.tests)

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "missing": self.missing or None,
            "tests": [{**test._asdict(), "same": test.same} for test in self.tests],
            "passed": self.passed,
            "differences": self.differences,
        }


def run_lock_tests(interpreter: Subject, subject: Subject) -> LockTestsReport:
    """Run every method of LockTests over both locks, one after the other."""
    title = "The interpreter's own test.lock_tests.LockTests"
    try:
        from test import lock_tests  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        return LockTestsReport(title, [], f"not run: {missing_package_sentence()}")
    theirs, _ = _run(lock_tests.LockTests, interpreter)
    mine, details = _run(lock_tests.LockTests, subject)
    tests = [
        TestReport(name, theirs[name], mine.get(name, "not run"), details.get(name, ""))
        for name in sorted(theirs)
    ]
    return LockTestsReport(title, tests, "")


def _run(base: type[Any], subject: Subject) -> tuple[dict[str, str], dict[str, str]]:
    case = type("LockTests", (base,), {"locktype": staticmethod(subject.factory)})
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    statuses = {_name(test): "ok" for test in suite}
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    details: dict[str, str] = {}
    for status, group in (
        ("failed", result.failures),
        ("error", result.errors),
        ("skipped", result.skipped),
    ):
        for test, detail in group:
            statuses[_name(test)], details[_name(test)] = status, detail
    return statuses, details


def _name(test: Any) -> str:
    """Return the method's name, also of a test that failed in a subTest."""
    return str(getattr(test, "test_case", test)._testMethodName)


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
