"""What the comparison of test modules says of a planted module, whose tests see if golock is on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from golock.conformance import _standard_library
from golock.conformance._standard_library import MODULES, MUST_DIFFER, MustDiffer, compare

PLANTED = """
import os, subprocess, sys, threading, time, unittest
from pathlib import Path

ON_GOLOCK = hasattr(threading.Lock(), "address")

def runs(name):
    with (Path(__file__).parent / name).open("a+") as file:
        file.write(".")
        return file.tell()

class Tests(unittest.TestCase):
    def test_same(self):
        pass

    def test_same_failure(self):
        self.fail()

    @unittest.skipIf(ON_GOLOCK, "on golock")
    def test_skipped_on_golock(self):
        pass

    def test_subtest_fails_on_golock(self):
        with self.subTest("first"):
            self.assertFalse(ON_GOLOCK, "told what golock did")
        with self.subTest("second"):
            pass

    def test_dies_on_golock(self):
        if ON_GOLOCK:
            os._exit(7)

    def test_must_differ(self):
        if ON_GOLOCK:
            raise LookupError

    def test_does_not_differ(self):
        pass

    def test_differs_in_another_way(self):
        self.assertFalse(ON_GOLOCK)

    def test_flaky(self):
        self.assertNotIn(runs("flaky"), (2, 3))  # golock's first, the second without

    def test_flaky_on_golock(self):
        self.assertFalse(ON_GOLOCK and runs("flaky on golock") == 1)

    def test_differs_now_and_then(self):
        self.assertFalse(ON_GOLOCK and runs("now and then") in (1, 4))

    def test_differs_in_company(self):
        self.assertFalse(ON_GOLOCK and runs("company") in (1, 5))  # the module, three times alone

    def test_children(self):
        code = "import threading; print(hasattr(threading.Lock(), 'address'))"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        self.assertEqual(said.strip(), str(ON_GOLOCK))
"""

DIFFERS = """
import threading, unittest

class Tests(unittest.TestCase):
    def test(self):
        self.assertFalse(hasattr(threading.Lock(), "address"))
"""

HANGS = """
import threading, unittest

class Tests(unittest.TestCase):
    def test_1_before(self):
        pass

    def test_2_hangs(self):
        threading.Event().wait()

    def test_3_after(self):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose modules can be imported in the tests' processes."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_each_kind_of_difference(folder: Path) -> None:
    (folder / "planted.py").write_text(PLANTED, encoding="utf-8")
    table = [
        MustDiffer(f"planted.Tests.{name}", "error", "we say so")
        for name in ("test_must_differ", "test_does_not_differ", "test_differs_in_another_way")
    ]
    (report,) = compare(["planted"], table)
    tests = {test.test.rpartition(".")[2]: test for test in report.tests}
    assert {name: test.verdict for name, test in tests.items()} == {
        "test_skipped_on_golock": "different",
        "test_subtest_fails_on_golock": "different",
        "test_dies_on_golock": "different",
        "test_must_differ": "must differ",
        "test_does_not_differ": "stale",
        "test_differs_in_another_way": "different",
        "test_differs_now_and_then": "different",
        "test_differs_in_company": "different",
        "test_flaky": "flaky",
        "test_flaky_on_golock": "flaky",
    }
    assert [outcome.kind for outcome in tests["test_dies_on_golock"].golock] == [
        "exit status 7"
    ] * 2
    assert "told what golock did" in tests["test_subtest_fails_on_golock"].golock[0].detail
    assert tests["test_flaky"].flaky_without_golock
    assert not tests["test_flaky_on_golock"].flaky_without_golock
    assert (report.total, report.same) == (13, 3)
    assert report.outcomes == {"ok": 2, "failed": 1}


def test_a_test_that_hangs_is_ended_and_the_rest_run(folder: Path) -> None:
    (folder / "hangs.py").write_text(HANGS, encoding="utf-8")
    run = _standard_library._run("hangs", on_golock=True, timeout=3)
    assert {name.rpartition(".")[2]: outcome.kind for name, outcome in run.outcomes.items()} == {
        "test_1_before": "ok",
        "test_2_hangs": "timed out",
        "test_3_after": "ok",
        "hangs (end of the process)": "ok",
    }
    assert "in test_2_hangs" in run.outcomes["hangs.Tests.test_2_hangs"].detail


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "golock", "conformance", "--standard-library", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_line(folder: Path) -> None:
    (folder / "differs.py").write_text(DIFFERS, encoding="utf-8")
    done = conformance("--json", "--module", "differs", "--module", "no_such_module")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert [module["missing"] for module in document["modules"]] == [None, "not there"]
    assert document["differences"] == 1


def test_table(folder: Path) -> None:
    (folder / "agrees.py").write_text(DIFFERS.replace("assertFalse", "assertIsNotNone"), "utf-8")
    done = conformance("--module", "agrees")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n1 tests, 1 the same\n\n0 differences\n")


def test_the_table_is_sound() -> None:
    entries = json.loads(MUST_DIFFER.read_text(encoding="utf-8"))
    for entry in entries:
        assert entry.keys() <= {"test", "golock", "why", "since", "before"}
        assert any(entry["test"].startswith(f"{name}.") for name in MODULES)
    assert len({entry["test"] for entry in entries}) == len(entries)
