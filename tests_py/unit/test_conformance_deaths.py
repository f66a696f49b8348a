"""A subject that crashes, hangs or lacks something: it is told, and the rest goes on."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from golock.conformance import _vectors
from golock.conformance._children import CRASHES_ALLOWED, HANGS_ALLOWED

FOLDER = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.once]


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    subject = ("--lock", f"dying_locks:{name}")
    return subprocess.run(
        [sys.executable, "-m", "golock", "conformance", "--only", "cases", *subject, *options],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        check=False,
    )


def report(name: str, *options: str) -> dict[str, Any]:
    done = run(name, "-q", "--json", *options)
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 1
    assert len(document["cases"]) == len(_vectors.load("Lock"))
    return document


def deaths(document: dict[str, Any]) -> dict[str, str]:
    return {
        finding["name"]: finding["text"]
        for finding in document["findings"]
        if finding["severity"] == "crashes and hangs"
    }


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {case["name"]: case["verdict"] for case in document["cases"]}


def fives() -> set[str]:
    """Return the cases in which the locks meet a five."""
    return {
        case.name
        for case in _vectors.load("Lock")
        for step in case.steps
        if step.call == "acquire" and step.args == [5] and not step.kwargs
    }


def test_a_crash_is_named_and_the_rest_goes_on() -> None:
    document = report("Crashes")
    found = deaths(document)
    assert found["acquire(5 as blocking)"] == "acquire(5): SIGSEGV"
    assert fives() <= found.keys()
    assert "in met_five" in document["findings"][0]["detail"]  # where each thread was
    assert verdicts(document)["release of a held lock"] == "same"
    summary = run("Crashes", "-q").stdout.splitlines()
    assert summary[1].startswith(f"  crashes and hangs {len(found):>5}  acquire(5): SIGSEGV")


def test_an_exit_is_a_crash() -> None:
    document = report("Exits")
    found = deaths(document)
    assert fives() <= found.keys()
    assert {text.rpartition(": ")[2] for text in found.values()} == {"exit status 7"}
    assert "last words" in document["findings"][0]["detail"]
    assert verdicts(document)["acquire(True)"] == "same"


@pytest.mark.parametrize("name", ["Stops", "Hangs"])
def test_a_hang_is_named_and_the_rest_goes_on(name: str) -> None:
    document = report(name, "--timeout", "1")
    found = deaths(document)
    assert found["acquire(5 as blocking)"].endswith("hangs")
    assert fives() <= found.keys()
    assert verdicts(document)["release of a held lock"] == "same"


def test_hangs_have_a_budget() -> None:
    document = report("HangsAlways", "--timeout", "1")
    assert len(deaths(document)) == HANGS_ALLOWED
    assert list(verdicts(document).values()).count("given up") > 300


def test_crashes_have_a_budget() -> None:
    document = report("CrashesAlways")
    assert len(deaths(document)) == CRASHES_ALLOWED


@pytest.mark.parametrize("part", ["lock_tests", "contention"])
def test_a_crash_in_another_part(part: str) -> None:
    if part == "lock_tests":
        pytest.importorskip("test.lock_tests", reason="this interpreter has no test package")
    done = run("CrashesAlways", "-q", "--json", "--only", part)
    document = json.loads(done.stdout)
    found = deaths(document)
    assert done.returncode == 1
    assert {text.partition(" ")[0].rstrip(",") for text in found.values()} == {"SIGSEGV"}
    assert {finding["part"] for finding in document["findings"]} == {part}
    assert len(found) > 5


def test_missing_names_are_told_once() -> None:
    document = report("Bare")
    lacks = {lack["name"]: lack["cases"] for lack in document["lacks"]}
    assert {"locked", "__enter__", "__exit__", "acquire_lock", "release_lock"} <= lacks.keys()
    assert lacks["locked"] == sum("locked" in case["lacks"] for case in document["cases"])
    same = verdicts(document)
    assert same["acquire(True)"] == same["release of a held lock"] == "same"
    assert list(same.values()).count("same") > 100
    lines = run("Bare", "-q").stdout.splitlines()
    assert f"  Lock lacks locked: {lacks['locked']} cases not compared" in lines


def test_a_lock_whose_state_cannot_be_told_is_compared_by_its_answers() -> None:
    document = report("Blocking")
    assert document["without_state"] == ["Lock"]
    assert verdicts(document)["acquire(no arguments)"] == "same"
    assert verdicts(document)["release of a held lock"] == "same"


def test_a_summary_of_ten_lines_comes_first() -> None:
    lines = run("Bare", "-q").stdout.splitlines()
    assert lines[0].startswith("dying_locks:Bare beside CPython ")
    assert lines.index("") <= 10
    assert max(len(line) for line in lines[: lines.index("")]) <= 100


def test_the_types_name_stands_in_messages() -> None:
    done = run("Bare", "-q", "-v")
    assert "{type}" not in done.stdout
    assert "dying_locks.Bare" in done.stdout
    assert "{type}" not in json.dumps(report("Bare"))


def test_progress_on_a_terminal_is_one_line() -> None:
    main, other = pty.openpty()
    subject = ("--lock", "dying_locks:Hangs", "--timeout", "3")
    process = subprocess.Popen(
        [sys.executable, "-m", "golock", "conformance", "--only", "cases", *subject],
        stdout=subprocess.DEVNULL,
        stderr=other,
        cwd=FOLDER,
    )
    os.close(other)
    said = b""
    with suppress(OSError):  # EIO, when the other end is closed
        while more := os.read(main, 4096):
            said += more
    os.close(main)
    assert process.wait() == 1
    assert b"\rLock, cases, " in said
    assert b"\n" not in said


def test_progress_elsewhere_is_a_line_now_and_then() -> None:
    said = run("Hangs", "--timeout", "3").stderr
    assert said.startswith("Lock, cases, ")
    assert said.endswith("\n")
    assert run("Hangs", "-q", "--timeout", "3").stderr == ""
