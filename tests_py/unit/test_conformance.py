"""``python -m golock conformance``: golock passes, a wrong lock is named, and the data is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import unittest
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from golock.conformance import _lock_tests, _vectors

WRONG = """
import threading

class Lock:
    '''Right but for timeouts, which it takes for milliseconds, and release of a free lock.'''

    def __init__(self):
        self._lock = threading._allocate_lock()

    def acquire(self, blocking=True, timeout=-1):
        return self._lock.acquire(blocking, timeout if timeout == -1 else timeout / 1000)

    def release(self):
        if self._lock.locked():
            self._lock.release()

    def locked(self):
        return self._lock.locked()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()

class Broken:
    def __init__(self):
        raise LookupError('no lock today')
"""


FAULTS = {
    "release of nothing": (
        "Semaphore",
        """
        class Semaphore(threading.Semaphore):
            def release(self, n=1):
                if n:
                    super().release(n)
        """,
        "release(0)",
    ),
    "no bound": (
        "BoundedSemaphore",
        """
        class BoundedSemaphore(threading.BoundedSemaphore):
            release = threading.Semaphore.release
        """,
        "released more than acquired",
    ),
    "an event that looks again": (
        "Event",
        """
        class Event(threading.Event):
            def wait(self, timeout=None):
                super().wait(timeout)
                return self.is_set()
        """,
        "set wakes a waiter though clear follows at once",
    ),
    "last come, first served": (
        "Condition",
        """
        class Condition(threading.Condition):
            def notify(self, n=1):
                self._waiters.reverse()
                super().notify(n)
                self._waiters.reverse()
        """,
        "notify three times wakes in order",
    ),
    "a waiter that ran out is notified": (
        "Condition",
        """
        class Waiters(type(threading.Condition()._waiters)):
            def remove(self, waiter):
                if not waiter.locked():
                    super().remove(waiter)

        class Condition(threading.Condition):
            def __init__(self, lock=None):
                super().__init__(lock)
                self._waiters = Waiters()
        """,
        "a wait that ran out takes no notification",
    ),
    "released by anybody": (
        "RLock",
        """
        class RLock(threading._PyRLock):
            def release(self):
                self._owner = threading.get_ident()
                super().release()
        """,
        "release in another thread",
    ),
    "an action that breaks nothing": (
        "Barrier",
        """
        class Barrier(threading.Barrier):
            def _release(self):
                try:
                    super()._release()
                except ZeroDivisionError:
                    self._state = 0
                    raise
        """,
        "action that raises",
    ),
    "an index too high": (
        "Barrier",
        """
        class Barrier(threading.Barrier):
            def wait(self, timeout=None):
                return super().wait(timeout) + 1
        """,
        "three threads, indices in order of arrival",
    ),
}


def conformance(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "golock", "conformance", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def report(*arguments: str, cwd: Path | None = None) -> tuple[int, dict[str, Any]]:
    done = conformance("--json", *arguments, cwd=cwd)
    return done.returncode, json.loads(done.stdout)


def raw_cases(kind: str) -> list[dict[str, Any]]:
    text = (_vectors.FOLDER / _vectors.FILES[kind]).read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = json.loads(text)["cases"]
    return cases


each_type = pytest.mark.parametrize("kind", _vectors.TYPES)


@each_type
def test_golock_answers_as_the_interpreter_does(kind: str) -> None:
    status, document = report("--only", "cases", "--type", kind)
    wrong = [case for case in document["cases"] if not case["same"]]
    assert (wrong, status) == ([], 0)
    assert len(document["cases"]) >= 120
    assert {case["type"] for case in document["cases"]} == {kind}
    assert document["lock_tests"] is None


def test_golock_passes_the_interpreters_own_tests() -> None:
    """Half of the types beside the other half: these tests mostly sleep."""
    lock_tests = pytest.importorskip(
        "test.lock_tests", reason="this interpreter has no test package"
    )
    halves = [("Condition", "Lock"), ("RLock", "Semaphore", "BoundedSemaphore", "Event", "Barrier")]
    chosen = [[word for kind in half for word in ("--type", kind)] for half in halves]
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda types: report("--only", "lock_tests", *types), chosen))
    for status, document in reports:
        assert (status, document["cases"], document["differences"]) == (0, [], 0)
    tests = [test for _, document in reports for test in document["lock_tests"]["tests"]]
    assert {(test["group"], test["name"]) for test in tests} == {
        (suite.name, name)
        for suite in _lock_tests.SUITES
        for name in unittest.defaultTestLoader.getTestCaseNames(getattr(lock_tests, suite.base))
        if name not in suite.skipped
    }
    assert {test["subject"] for test in tests} == {"ok"}


def test_table_and_count() -> None:
    done = conformance("--only", "cases", "--type", "Event", "--type", "Barrier")
    assert done.returncode == 0
    assert "\nEvent  " in done.stdout
    assert "\nBarrier  " in done.stdout
    assert "  abort and reset  " in done.stdout
    assert "\nLock  " not in done.stdout
    assert "0 different" in done.stdout
    assert done.stdout.endswith("\n0 differences\n")


def test_verbose_shows_every_case() -> None:
    done = conformance("--only", "cases", "-v", "--type", "Semaphore")
    for case in _vectors.load("Semaphore"):
        assert f" {case.name} (Semaphore, {case.start} at first)" in done.stdout


@pytest.mark.skipif(os.environ.get("GOLOCK_FASTPATH") == "0", reason="none of golock's is played")
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    kind, code, name = FAULTS[fault]
    source = "import threading\nfrom threading import *\n" + textwrap.dedent(code)
    (tmp_path / "faulty.py").write_text(source, encoding="utf-8")
    script = """
import sys
from golock import conformance
from golock.conformance import _play
_play.TIME_LIMIT = 1.0
raise SystemExit(conformance.main(sys.argv[1:]))
"""
    options = ["--only", "cases", "--json", "--family", "faulty", "--type", kind]
    done = subprocess.run(
        [sys.executable, "-c", script, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    document = json.loads(done.stdout)
    cases = {case["name"]: case for case in document["cases"]}
    assert done.returncode == 1
    assert document["subject"] == "faulty"
    assert not cases[name]["same"]
    assert not cases[name]["expectation_is_stale"]
    assert sum(case["same"] for case in cases.values()) > len(cases) / 2


def test_another_family_passes() -> None:
    """The standard module, whose types are the interpreter's own."""
    status, document = report("--only", "cases", "--family", "threading", "--type", "Event")
    assert (status, document["differences"], document["subject"]) == (0, 0, "threading")
    assert [case["notes"] for case in document["cases"] if case["notes"]] == []


@pytest.mark.parametrize("module", ["no_such_module", "json", ""])
def test_wrong_name_of_a_family(module: str) -> None:
    done = conformance("--family", module)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: argument --family" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--type", "Thread"),
        ("--lock", "_thread:allocate_lock", "--type", "Event"),
        ("--lock", "_thread:allocate_lock", "--family", "threading"),
    ],
)
def test_options_that_exclude_each_other(options: tuple[str, ...]) -> None:
    done = conformance(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: argument --" in done.stderr


def test_wrong_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    done = conformance("--only", "cases", "--lock", "wrong:Lock", cwd=tmp_path)
    assert done.returncode == 1
    assert "wrong:Lock" in done.stdout
    assert "DIFFERENT release of a free lock (Lock, free at first)" in done.stdout
    assert "        expected    RuntimeError: release unlocked lock\n" in done.stdout
    assert "        subject     null\n" in done.stdout
    status, document = report("--only", "cases", "--lock", "wrong:Lock", cwd=tmp_path)
    verdicts = {case["name"]: case["same"] for case in document["cases"]}
    assert status == 1
    assert document["subject"] == "wrong:Lock"
    assert document["differences"] == list(verdicts.values()).count(False)
    assert not verdicts["release of a free lock"]
    assert verdicts["release of a held lock"]
    assert not any(case["expectation_is_stale"] for case in document["cases"])


def test_wrong_lock_fails_the_interpreters_own_tests(tmp_path: Path) -> None:
    pytest.importorskip("test.lock_tests", reason="this interpreter has no test package")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    status, document = report("--only", "lock_tests", "--lock", "wrong:Lock", cwd=tmp_path)
    wrong = {
        test["name"]: test["subject"]
        for test in document["lock_tests"]["tests"]
        if not test["same"]
    }
    assert status == 1
    assert wrong["test_timeout"] == "failed"
    assert document["differences"] == len(wrong)


def test_the_interpreters_lock_differs_from_itself_in_nothing() -> None:
    status, document = report("--only", "cases", "--lock", "_thread:allocate_lock")
    assert (status, document["differences"]) == (0, 0)
    assert [case["notes"] for case in document["cases"] if case["notes"]] == []


def test_stale_expectation_is_a_difference(tmp_path: Path) -> None:
    """An expectation that the examined lock meets, and the interpreter does not."""
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    document = json.loads((_vectors.FOLDER / "lock.json").read_text(encoding="utf-8"))
    (case,) = [case for case in document["cases"] if case["name"] == "release of a free lock"]
    case["steps"] = [{"call": "release", "returns": None}]
    document["cases"] = [case]
    (tmp_path / "lock.json").write_text(json.dumps(document), encoding="utf-8")
    script = """
from pathlib import Path
from golock import conformance
from golock.conformance import _vectors
_vectors.FOLDER = Path()
raise SystemExit(conformance.main(['--only', 'cases', '--lock', 'wrong:Lock']))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "STALE     release of a free lock" in done.stdout
    assert done.stdout.endswith("\n1 difference\n")


def test_examines_the_interpreters_own_types_even_when_installed() -> None:
    script = """
import golock
golock.install()
import threading
from golock import conformance
from golock.conformance._family import INTERPRETER
compared = []
conformance.compare = lambda *arguments: compared.append(arguments) or []
conformance.main(['--only', 'cases'])
interpreter, subject, types = compared[0]
print(interpreter is INTERPRETER, subject.factories['Condition'] is golock.Condition)
made = [interpreter.new(kind) for kind in types]
made += [interpreter.new('Condition')._lock, interpreter.new('Semaphore')._cond._lock]
print(any(type(one) in vars(golock).values() for one in made))
print(golock.installed(), threading.Semaphore is golock.Semaphore)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    answers = "True True\nFalse\nTrue True\n"
    assert done.stdout.endswith(f"\n{answers}")


@pytest.mark.parametrize(
    "lock", ["golock", "no_such_module:Lock", "golock:no_such_name", "golock:TIMEOUT_MAX"]
)
def test_wrong_name_of_a_lock(lock: str) -> None:
    done = conformance("--lock", lock)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: argument --lock" in done.stderr


def test_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    status, document = report("--only", "cases", "--lock", "wrong:Broken", cwd=tmp_path)
    assert status == 1
    assert not any(case["same"] for case in document["cases"])


def test_missing_test_package(tmp_path: Path) -> None:
    """The sentence is printed, the cases are compared, and nothing differs."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").write_text("", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "golock", "conformance", "--type", "Event"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        check=False,
    )
    assert done.returncode == 0
    assert "not run: this interpreter has no 'test' package" in done.stdout
    assert "0 different" in done.stdout


@pytest.mark.parametrize(
    ("release", "package"),
    [
        ({"ID": "debian"}, "libpython{0}.{1}-testsuite"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "libpython{0}.{1}-testsuite"),
        ({"ID": "fedora"}, "python3-test"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "python{0}{1}-testsuite"),
        ({"ID": "unheard-of"}, "install the one that belongs to this interpreter"),
    ],
    ids=lambda value: value["ID"] if isinstance(value, dict) else "",
)
def test_system_package_is_named(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], package: str
) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    assert package.format(*sys.version_info) in _lock_tests.missing_package_sentence()


@each_type
def test_names_are_unique_and_groups_together(kind: str) -> None:
    names = [case["name"] for case in raw_cases(kind)]
    assert len(names) == len(set(names))
    groups = [case["group"] for case in raw_cases(kind)]
    changes = [
        group for group, before in zip(groups, ["", *groups], strict=False) if group != before
    ]
    assert len(changes) == len(set(groups))


@each_type
def test_every_step_says_what_it_expects(kind: str) -> None:
    for case in raw_cases(kind):
        for step in case["steps"]:
            assert ("returns" in step) + ("raises" in step) + ("blocks" in step) == 1, case["name"]
        waits = [step["in"] for step in case["steps"] if "blocks" in step]
        ends = [step for step in case["steps"] if step["call"].startswith("come")]
        assert bool(waits) == bool(ends), case["name"]


@each_type
def test_no_version_has_a_case_twice(kind: str) -> None:
    """The parts of a case that is split by version follow each other without an overlap.

    A gap is a version on which the case hangs, or cannot be begun.
    """
    split: dict[str, list[dict[str, Any]]] = {}
    for case in raw_cases(kind):
        if "since" in case or "before" in case:
            split.setdefault(case["name"].rpartition(" (")[0], []).append(case)
    for name, parts in split.items():
        bounds = [(version(part, "since", "0"), version(part, "before", "99")) for part in parts]
        assert all(one < other for one, other in bounds), name
        assert all(one[1] <= other[0] for one, other in pairwise(bounds)), name


def version(case: dict[str, Any], bound: str, default: str) -> tuple[int, ...]:
    return tuple(int(part) for part in case.get(bound, default).split("."))
