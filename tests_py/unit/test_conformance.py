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
from golock.conformance._family import INTERPRETER
from golock.conformance._findings import CaseReport, Names
from golock.conformance._play import Played, play

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

def dies():
    import os
    os._exit(3)
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
SEVERITIES = {
    "release of nothing": "exceptions",
    "no bound": "exceptions",
    "a waiter that ran out is notified": "lost wake-ups",
    "released by anybody": "exclusion",
}


# A busy emulator is slow.
PATIENT = ("--timeout", "120")


def conformance(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "golock", "conformance", "-q", *arguments],
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


each_kind = pytest.mark.parametrize("kind", _vectors.KINDS)


@each_kind
def test_golock_answers_as_the_interpreter_does(kind: str) -> None:
    status, document = report("--only", "cases", "--kind", kind, *PATIENT)
    wrong = [case for case in document["cases"] if case["verdict"] != "same"]
    assert (wrong, status) == ([], 0)
    assert len(document["cases"]) >= 120
    assert {case["kind"] for case in document["cases"]} == {kind}
    assert (document["lock_tests"], document["contention"]) == (None, None)


@pytest.mark.slow
def test_golock_passes_the_interpreters_own_tests() -> None:
    """Half of the kinds beside the other half: these tests mostly sleep."""
    lock_tests = pytest.importorskip(
        "test.lock_tests", reason="this interpreter has no test package"
    )
    halves = [("Condition", "Lock"), ("RLock", "Semaphore", "BoundedSemaphore", "Event", "Barrier")]
    chosen = [[word for kind in half for word in ("--kind", kind)] for half in halves]
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda kinds: report("--only", "lock_tests", *kinds), chosen))
    for status, document in reports:
        assert (status, document["cases"], document["findings"]) == (0, None, [])
    tests = [test for _, document in reports for test in document["lock_tests"]["tests"]]
    assert {(test["group"], test["name"]) for test in tests} == {
        (suite.name, name)
        for suite in _lock_tests.SUITES
        for name in unittest.defaultTestLoader.getTestCaseNames(getattr(lock_tests, suite.base))
        if name not in suite.skipped
    }
    assert {test["subject"] for test in tests} == {"ok"}


@pytest.mark.slow
def test_nothing_differs() -> None:
    done = conformance("--only", "cases", "--kind", "event", "--kind", "barrier", *PATIENT)
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("golock beside CPython ")
    assert first.endswith(": nothing differs")
    assert second.startswith("  compared: ")


@pytest.mark.slow
def test_verbose_shows_every_case() -> None:
    done = conformance("--only", "cases", "-v", "--kind", "Semaphore", *PATIENT)
    for case in _vectors.load("Semaphore"):
        assert f" {case.name} (Semaphore, {case.start} at first)" in done.stdout
    assert "\nSemaphore  " in done.stdout
    assert "  __enter__ and __exit__  " in done.stdout


@pytest.mark.skipif(os.environ.get("GOLOCK_FASTPATH") == "0", reason="none of golock's is played")
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    kind, code, name = FAULTS[fault]
    source = "import threading\nfrom threading import *\n" + textwrap.dedent(code)
    (tmp_path / "faulty.py").write_text(source, encoding="utf-8")
    options = ["--only", "cases", "--timeout", "1", "--family", "faulty", "--kind", kind]
    status, document = report(*options, cwd=tmp_path)
    cases = {case["name"]: case for case in document["cases"]}
    assert status == 1
    assert document["subject"] == "faulty"
    assert cases[name]["verdict"] == "different"
    (severity,) = {each["severity"] for each in document["findings"] if each["name"] == name}
    assert severity == SEVERITIES.get(fault, "values and states")
    assert sum(case["verdict"] == "same" for case in cases.values()) > len(cases) / 2


def test_another_family_passes() -> None:
    """The standard module, whose types are the interpreter's own."""
    status, document = report("--only", "cases", "--family", "threading", "--kind", "Event")
    assert (status, document["findings"], document["subject"]) == (0, [], "threading")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--family", "no_such_module"), "No module named 'no_such_module'"),
        (("--family", "json"), "json has none of the seven kinds"),
        (("--family", ""), "Empty module name"),
        (("--lock", "golock"), "'golock' is not MODULE:CALLABLE"),
        (("--lock", "golock:"), "'golock:' is not MODULE:CALLABLE"),
        (("--lock", "no_such_module:Lock"), "No module named"),
        (("--lock", "golock:no_such_name"), "no attribute 'no_such_name'"),
        (("--lock", "golock:TIMEOUT_MAX"), "cannot be called"),
        (("--lock", "golock:Lock", "--kind", "Lock", "--kind", "RLock"), "is of one --kind"),
        (("--lock", "golock:Lock", "--kind", "Thread"), "'Thread' is none of Lock, RLock, "),
        (("--lock", "golock:Lock", "--family", "golock"), "not allowed with argument"),
        (("--lock", "builtins:object"), "they lack acquire() and release()"),
        (("--lock", "golock:Lock", "--kind", "Event"), "they lack is_set() and set() and "),
        (("--family", "queue"), "queue has none of the seven kinds"),
        (("--lock", "wrong:Broken"), "LookupError: no lock today"),
        (("--lock", "wrong:dies"), "cannot make a Lock: exit status 3"),
        (("--lock", "fails:Lock"), "ZeroDivisionError: division by zero"),
    ],
)
def test_nothing_to_examine(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    (tmp_path / "fails.py").write_text("1 / 0", encoding="utf-8")
    done = conformance(*options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m golock conformance: error: " in done.stderr
    assert said in done.stderr


def test_a_family_lacks_some_of_the_seven(tmp_path: Path) -> None:
    code = "from threading import Event\nRLock = 7\nLock = object\n"
    (tmp_path / "some.py").write_text(code, encoding="utf-8")
    kinds = [word for kind in ("Event", "RLock", "Lock") for word in ("--kind", kind)]
    done = conformance("--only", "cases", "--family", "some", *kinds, cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "  not examined: Lock, RLock" in lines
    assert "  RLock not examined: some has no RLock" in lines
    assert any("which are no Lock: they lack acquire() and release()" in line for line in lines)


def test_wrong_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    options = ("--only", "cases", "--lock", "wrong:Lock")
    done = conformance(*options, "-v", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("wrong:Lock beside CPython ")
    assert "DIFFERENT    release of a free lock (Lock, free at first)" in done.stdout
    assert "        expected    RuntimeError: release unlocked lock\n" in done.stdout
    assert "        subject     None\n" in done.stdout
    status, document = report(*options, cwd=tmp_path)
    verdicts = {case["name"]: case["verdict"] for case in document["cases"]}
    assert status == 1
    assert document["subject"] == "wrong:Lock"
    assert verdicts["release of a free lock"] == "different"
    assert verdicts["release of a held lock"] == "same"
    assert "stale" not in verdicts.values()
    found = [finding for finding in document["findings"] if finding["severity"] != "messages"]
    assert len(found) == list(verdicts.values()).count("different")
    assert document["differences"] == len(found) + len(document["lacks"])


@pytest.mark.slow
def test_wrong_lock_fails_the_interpreters_own_tests(tmp_path: Path) -> None:
    pytest.importorskip("test.lock_tests", reason="this interpreter has no test package")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    options = ("--only", "lock_tests", "--lock", "wrong:Lock")
    status, document = report(*options, cwd=tmp_path)
    wrong = {
        test["name"]: test["subject"]
        for test in document["lock_tests"]["tests"]
        if test["verdict"] == "different"
    }
    assert status == 1
    assert wrong["test_timeout"] == "failed"
    assert len(document["findings"]) == len(wrong)


def test_the_interpreters_lock_differs_from_itself_in_nothing() -> None:
    options = ("--only", "cases", "--lock", "_thread:allocate_lock")
    status, document = report(*options)
    assert (status, document["findings"], document["lacks"]) == (0, [], [])


def test_stale_expectation_is_a_difference() -> None:
    """An expectation that the examined lock meets, and the interpreter does not."""
    raw = {"name": "release", "group": "release", "start": "free", "end": "free"}
    case = _vectors.case("Lock", {**raw, "steps": [{"call": "release", "returns": None}]})
    theirs = play(case, INTERPRETER)
    mine = Played([_vectors.Outcome("returns", None)], "free")
    found = CaseReport(case, theirs, mine)
    assert (found.stale, found.same) == (True, False)
    (finding,) = found.findings(Names({}, {}))
    assert (finding.severity, finding.counts) == ("values and states", True)


def test_examines_the_interpreters_own_types_even_when_installed() -> None:
    script = """
import golock
golock.install()
import threading
from golock import conformance
from golock.conformance._family import INTERPRETER
status = conformance.main(['-q', '--only', 'cases', '--kind', 'Event', '--family', 'threading'])
made = [INTERPRETER.new(kind) for kind in INTERPRETER.factories]
made += [INTERPRETER.new('Condition')._lock, INTERPRETER.new('Semaphore')._cond._lock]
print(status, any(type(one) in vars(golock).values() for one in made))
print(golock.installed(), threading.Semaphore is golock.Semaphore)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("\n0 False\nTrue True\n")


def test_missing_test_package(tmp_path: Path) -> None:
    """The sentence is printed, the cases are compared, and nothing differs."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").write_text("", encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "golock",
            "conformance",
            "-q",
            "--only",
            "lock_tests",
            "--kind",
            "Event",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        check=False,
    )
    assert done.returncode == 0
    assert "this interpreter has no 'test' package" in done.stdout
    assert "nothing differs" in done.stdout


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


@each_kind
def test_names_are_unique_and_groups_together(kind: str) -> None:
    names = [case["name"] for case in raw_cases(kind)]
    assert len(names) == len(set(names))
    groups = [case["group"] for case in raw_cases(kind)]
    changes = [
        group for group, before in zip(groups, ["", *groups], strict=False) if group != before
    ]
    assert len(changes) == len(set(groups))


@each_kind
def test_every_step_says_what_it_expects(kind: str) -> None:
    for case in raw_cases(kind):
        for step in case["steps"]:
            assert ("returns" in step) + ("raises" in step) + ("blocks" in step) == 1, case["name"]
        waits = [step["in"] for step in case["steps"] if "blocks" in step]
        ends = [step for step in case["steps"] if step["call"].startswith("come")]
        assert bool(waits) == bool(ends), case["name"]


@each_kind
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
