"""``python -m golock conformance``: the interpreter's lock and another, case by case.

Two parts: the vectors in lock.json, each compared with what CPython is recorded to answer, and the
interpreter's own ``test.lock_tests.LockTests``, unmodified. Another library's lock can stand in
golock's place with ``--lock``.
"""

from __future__ import annotations

import _thread
import argparse
import importlib
import json
import sys
from typing import Any

from .. import allocate_lock
from .._install import install, installed, uninstall
from ._lock_tests import LockTestsReport, run_lock_tests
from ._play import Subject
from ._report import CaseReport, compare, print_cases, print_lock_tests

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run the comparison; 0 when nothing differs, 1 when something does, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    on_golock = installed()
    uninstall()
    try:
        return _compare(options)
    finally:
        if on_golock:
            install()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m golock conformance",
        description="Compare the running interpreter's lock with golock's, case by case. "
        "The exit status is 1 when anything differs.",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document instead of the table"
    )
    parser.add_argument("--only", choices=["cases", "lock_tests"], help="run one of the two parts")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print every case, not only those that differ"
    )
    parser.add_argument(
        "--lock",
        metavar="MODULE:CALLABLE",
        type=_subject,
        default=Subject("golock", allocate_lock),
        help="examine the locks this callable makes, in place of golock's",
    )
    return parser


def _subject(text: str) -> Subject:
    module, _, path = text.partition(":")
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not MODULE:CALLABLE")
    try:
        target: Any = importlib.import_module(module)
        for name in path.split("."):
            target = getattr(target, name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not callable(target):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be called")
    return Subject(text, target)


def _compare(options: argparse.Namespace) -> int:
    interpreter = Subject("interpreter", _thread.allocate_lock)
    subject: Subject = options.lock
    cases: list[CaseReport] = []
    lock_tests: LockTestsReport | None = None
    if options.only != "lock_tests":
        cases = compare(interpreter, subject)
    if options.only != "cases":
        lock_tests = run_lock_tests(interpreter, subject)
    differences = sum(not case.same for case in cases)
    differences += lock_tests.differences if lock_tests else 0
    if options.json:
        document = {
            "interpreter": sys.version.split()[0],
            "lock": subject.name,
            "cases": [case.as_json() for case in cases],
            "lock_tests": lock_tests.as_json() if lock_tests else None,
            "differences": differences,
        }
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        print(f"The interpreter's lock (CPython {sys.version.split()[0]}) beside {subject.name}")
        if options.only != "lock_tests":
            print_cases(cases, options.verbose)
        if lock_tests:
            print_lock_tests(lock_tests, options.verbose)
        print(f"\n{differences} difference{'' if differences == 1 else 's'}")
    return 1 if differences else 0
