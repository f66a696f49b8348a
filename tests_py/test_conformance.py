"""``python -m golock conformance``: golock passes, a wrong lock is named, and the data is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def raw_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(_vectors.VECTORS.read_text(encoding="utf-8"))["cases"]
    return cases


def test_golock_answers_as_the_interpreter_does() -> None:
    status, document = report("--only", "cases")
    wrong = [case for case in document["cases"] if not case["same"]]
    assert (wrong, status) == ([], 0)
    assert len(document["cases"]) >= 120
    assert document["lock_tests"] is None


def test_golock_passes_the_interpreters_own_tests() -> None:
    pytest.importorskip("test.lock_tests", reason="this interpreter has no test package")
    status, document = report("--only", "lock_tests")
    assert (status, document["cases"], document["differences"]) == (0, [], 0)
    tests = document["lock_tests"]["tests"]
    assert len(tests) >= 15
    assert {test["subject"] for test in tests} == {"ok"}


def test_table_and_count() -> None:
    done = conformance("--only", "cases")
    assert done.returncode == 0
    assert "  release  " in done.stdout
    assert "0 different" in done.stdout
    assert done.stdout.endswith("\n0 differences\n")


def test_verbose_shows_every_case() -> None:
    done = conformance("--only", "cases", "-v")
    for case in _vectors.load():
        assert f" {case.name} (lock {case.start} at first)" in done.stdout


def test_wrong_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    done = conformance("--only", "cases", "--lock", "wrong:Lock", cwd=tmp_path)
    assert done.returncode == 1
    assert "wrong:Lock" in done.stdout
    assert "DIFFERENT release of a free lock (lock free at first)" in done.stdout
    assert "        expected    RuntimeError: release unlocked lock\n" in done.stdout
    assert "        lock        null\n" in done.stdout
    status, document = report("--only", "cases", "--lock", "wrong:Lock", cwd=tmp_path)
    verdicts = {case["name"]: case["same"] for case in document["cases"]}
    assert status == 1
    assert document["lock"] == "wrong:Lock"
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
    document = json.loads(_vectors.VECTORS.read_text(encoding="utf-8"))
    (case,) = [case for case in document["cases"] if case["name"] == "release of a free lock"]
    case["steps"] = [{"call": "release", "returns": None}]
    document["cases"] = [case]
    (tmp_path / "lock.json").write_text(json.dumps(document), encoding="utf-8")
    script = """
from pathlib import Path
from golock import conformance
from golock.conformance import _vectors
_vectors.VECTORS = Path('lock.json')
raise SystemExit(conformance.main(['--only', 'cases', '--lock', 'wrong:Lock']))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "STALE     release of a free lock" in done.stdout
    assert done.stdout.endswith("\n1 difference\n")


def test_examines_the_interpreters_own_lock_even_when_installed() -> None:
    script = """
import _thread, threading
own = _thread.allocate_lock
import golock
from golock import conformance
golock.install()
compared = []
conformance.compare = lambda *subjects: compared.append([one.factory for one in subjects]) or []
status = conformance.main(['--only', 'cases'])
print(status, compared == [[own, golock.allocate_lock]])
print(golock.installed(), threading.Lock is golock.Lock)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout.endswith(b"\n0 True\nTrue True\n")


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
        [sys.executable, "-m", "golock", "conformance"],
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


def test_names_are_unique_and_groups_together() -> None:
    names = [case["name"] for case in raw_cases()]
    assert len(names) == len(set(names))
    groups = [case["group"] for case in raw_cases()]
    changes = [
        group for group, before in zip(groups, ["", *groups], strict=False) if group != before
    ]
    assert len(changes) == len(set(groups))


def test_every_step_says_what_it_expects() -> None:
    for case in raw_cases():
        assert case["start"] in {"free", "held"}
        assert case["end"] in {"free", "held"}
        for step in case["steps"]:
            assert ("returns" in step) != ("raises" in step), case["name"]


def test_every_version_has_every_case_once() -> None:
    """A case split by version covers all versions without a gap or an overlap."""
    split: dict[str, list[dict[str, Any]]] = {}
    for case in raw_cases():
        if "since" in case or "before" in case:
            split.setdefault(case["name"].rpartition(" (")[0], []).append(case)
    for name, parts in split.items():
        bounds = [(part.get("since"), part.get("before")) for part in parts]
        assert bounds[0][0] is None, name
        assert bounds[-1][1] is None, name
        assert all(one[1] == other[0] for one, other in pairwise(bounds)), name
