"""Runs the interpreter's own ``test.lock_tests``, unmodified, over a family.

Each of its classes is given a type to test as ``test.test_threading`` gives it.
"""

from __future__ import annotations

import io
import platform
import sys
import unittest
from collections.abc import Iterable
from typing import NamedTuple

from ._family import Family

ATTEMPTS = 3
"""How often a test may fare differently before it counts: some measure times."""


class Suite(NamedTuple):
    """A class of lock_tests, the attribute that names the type to test, and that type's kind."""

    name: str
    base: str
    attribute: str
    kind: str
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


def tests(kinds: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return each test's kind, class and name; `ImportError` says that there is no such package."""
    try:
        from test import lock_tests  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        raise ImportError(missing_package_sentence()) from None
    wanted = set(kinds)
    return [
        (suite.kind, suite.name, name)
        for suite in SUITES
        if suite.kind in wanted and hasattr(lock_tests, suite.base)
        for name in unittest.defaultTestLoader.getTestCaseNames(getattr(lock_tests, suite.base))
        if name not in suite.skipped
    ]


def run_test(group: str, name: str, family: Family) -> tuple[str, str]:
    """Return how a test fared (ok, failed, error or skipped), and what was said of it."""
    from test import lock_tests  # noqa: PLC0415

    (suite,) = [suite for suite in SUITES if suite.name == group]
    factory = family.factories[suite.kind]
    base = getattr(lock_tests, suite.base)
    test = type(suite.name, (base,), {suite.attribute: staticmethod(factory)})(name)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.TestSuite([test]))
    for status, notes in (
        ("failed", result.failures),
        ("error", result.errors),
        ("skipped", result.skipped),
    ):
        for _, detail in notes:
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
