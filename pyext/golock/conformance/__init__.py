"""``python -m golock conformance``: the interpreter's lock types and others, case by case.

Two parts: the vectors in the JSON files, each compared with what CPython is recorded to answer, and
the interpreter's own ``test.lock_tests``, unmodified. Another library's types can stand in golock's
place with ``--family``, another lock with ``--lock``. With ``--standard-library`` the interpreter's
own test modules are run instead, without golock and on it, and compared test by test.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import Any

import golock

from .._install import install, installed, uninstall
from ._family import INTERPRETER, Family, family_of
from ._lock_tests import LockTestsReport, run_lock_tests
from ._report import CaseReport, compare, print_cases, print_lock_tests
from ._standard_library import TIMEOUT
from ._standard_library import run as run_standard_library
from ._vectors import TYPES

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run the comparison; 0 when nothing differs, 1 when something does, 2 for wrong arguments."""
    options = _options(arguments)
    if options.standard_library:
        return run_standard_library(options)
    on_golock = installed()
    uninstall()
    try:
        return _compare(options)
    finally:
        if on_golock:
            install()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golock conformance",
        description="Compare the running interpreter's lock types with golock's, case by case. "
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
        "--type",
        action="append",
        choices=TYPES,
        dest="types",
        help="examine this type alone; may be given several times",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument(
        "--family",
        metavar="MODULE",
        type=_family,
        help="examine the types of this module, in place of golock's; it offers all seven names",
    )
    subject.add_argument(
        "--lock",
        metavar="MODULE:CALLABLE",
        type=_lock,
        help="examine the locks this callable makes, and no other type",
    )
    standard_library = parser.add_argument_group("the interpreter's own test modules")
    standard_library.add_argument(
        "--standard-library",
        action="store_true",
        help="run them without golock and on it, and compare test by test (some minutes)",
    )
    standard_library.add_argument(
        "--module", action="append", metavar="MODULE", help="this test module; may be repeated"
    )
    standard_library.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="for one test (default: %(default)g)",
    )
    options = parser.parse_args(arguments)
    options.subject = options.lock or options.family or family_of(golock)
    options.types = [kind for kind in TYPES if kind in (options.types or options.subject.factories)]
    if options.lock and options.types != ["Lock"]:
        parser.error("argument --type: --lock examines the type Lock alone")
    return options


def _family(name: str) -> Family:
    try:
        return family_of(importlib.import_module(name))
    except (ImportError, AttributeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name!r}: {error}") from None


def _lock(text: str) -> Family:
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
    return Family(text, {"Lock": target})


def _compare(options: argparse.Namespace) -> int:
    subject: Family = options.subject
    cases: list[CaseReport] = []
    lock_tests: LockTestsReport | None = None
    if options.only != "lock_tests":
        cases = compare(INTERPRETER, subject, options.types)
    if options.only != "cases":
        lock_tests = run_lock_tests(INTERPRETER, subject, options.types)
    differences = sum(not case.same for case in cases)
    differences += lock_tests.differences if lock_tests else 0
    if options.json:
        document = {
            "interpreter": sys.version.split()[0],
            "subject": subject.name,
            "types": options.types,
            "cases": [case.as_json() for case in cases],
            "lock_tests": lock_tests.as_json() if lock_tests else None,
            "differences": differences,
        }
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        print(f"The interpreter's own (CPython {sys.version.split()[0]}) beside {subject.name}")
        if options.only != "lock_tests":
            print_cases(cases, options.verbose)
        if lock_tests:
            print_lock_tests(lock_tests, options.verbose)
        print(f"\n{differences} difference{'' if differences == 1 else 's'}")
    return 1 if differences else 0
