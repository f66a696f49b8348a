"""``python -m golock conformance``: the interpreter's lock types and others, side by side.

Three parts: the cases in the JSON files, each compared with what CPython is recorded to answer; the
interpreter's own ``test.lock_tests``, unmodified; and the contention battery. Another library's
types can stand in golock's place with ``--family``, one class with ``--lock`` and ``--kind``.
Everything happens in child processes, so a type that crashes or hangs costs one case.

With ``--standard-library`` the interpreter's own test modules are run instead, without golock and
on it, and compared test by test.
"""

from __future__ import annotations

import argparse
import json
import sys

from ._children import TIMEOUT, Children
from ._contention import checks
from ._findings import (
    CaseReport,
    case_report,
    check_report,
    lock_test_report,
    names_of,
)
from ._lock_tests import tests
from ._play import Played
from ._progress import Progress
from ._report import Report, print_report
from ._standard_library import TIMEOUT as TEST_TIMEOUT
from ._standard_library import run as run_standard_library
from ._subject import Named, Traits, UnusableError, needed
from ._vectors import KINDS, load
from ._worker import Job

__all__ = ["main"]

PARTS = ("cases", "lock_tests", "contention")


def main(arguments: list[str]) -> int:
    """Run the comparison.

    Return 0 when nothing differs, 1 when something does, 2 when there is nothing to examine. Wrong
    arguments end the program with status 2.
    """
    options = _options(arguments)
    if options.standard_library:
        return run_standard_library(options)
    progress = Progress(options.quiet)
    try:
        report = _compare(options, progress)
    except UnusableError as error:
        progress.end()
        print(f"python -m golock conformance: error: {error}", file=sys.stderr)
        return 2
    progress.end()
    if options.json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        print()
    else:
        print_report(report, options.verbose)
    return 1 if report.differences else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m golock conformance",
        description="Compare lock types with the running interpreter's: golock's, or others.",
        epilog="The exit status is 0 when nothing differs, 1 when something does, and 2 when the "
        "arguments are wrong or there is nothing to examine.",
    )
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument(
        "--family",
        metavar="MODULE",
        help="examine the types of this module, as many of the seven kinds as it has "
        "(default: golock)",
    )
    subject.add_argument(
        "--lock",
        metavar="MODULE:CALLABLE",
        help="examine the objects that this callable makes; --kind names their kind "
        "(default: Lock)",
    )
    parser.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        type=_kind,
        dest="kinds",
        help=f"examine this kind alone, one of {', '.join(KINDS)}; may be repeated, except with "
        "--lock",
    )
    parser.add_argument("--only", choices=PARTS, help="run one of the three parts")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON document (report.schema.json)"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print everything after the summary"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="do not say on stderr how far the run has got"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help=f"until a case or a test counts as hanging (default: {TIMEOUT:g}; with "
        f"--standard-library {TEST_TIMEOUT:g})",
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
    options = parser.parse_args(arguments)
    if options.timeout is None:
        options.timeout = TEST_TIMEOUT if options.standard_library else TIMEOUT
    if options.timeout <= 0:
        parser.error("argument --timeout: a number above 0")
    if options.lock:
        options.kinds = options.kinds or ["Lock"]
        module, _, path = options.lock.partition(":")
        if not (module and path):
            parser.error(f"argument --lock: {options.lock!r} is not MODULE:CALLABLE")
        if len(options.kinds) != 1:
            parser.error("argument --lock: the object is of one --kind")
        options.named = Named(module, path, options.kinds[0])
    else:
        options.named = Named(options.family if options.family is not None else "golock")
    return options


def _kind(text: str) -> str:
    for kind in KINDS:
        if kind.lower() == text.lower():
            return kind
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(KINDS)}")


def _compare(options: argparse.Namespace, progress: Progress) -> Report:
    named: Named = options.named
    children = Children(named, options.timeout)
    wanted = [kind for kind in KINDS if kind in (options.kinds or KINDS)]
    traits, not_examined = _look(children, wanted)
    kinds = list(traits)
    if not kinds:
        raise UnusableError(f"{named} {', '.join(not_examined.values())}")
    lacking = {kind: set(mine.lacks) for kind, (_, mine) in traits.items()}
    cases = [case for kind in kinds for case in load(kind)]
    short = [(case, tuple(sorted(needed(case) & lacking[case.kind]))) for case in cases]
    jobs: dict[str, list[Job]] = {
        "cases": [("cases", case.kind, case.group, case.name) for case, lacks in short if not lacks]
    }
    missing = ""
    try:
        jobs["lock_tests"] = [("lock_tests", *test) for test in tests(kinds)]
    except ImportError as error:
        missing, jobs["lock_tests"] = str(error), []
    jobs["contention"] = [
        ("contention", kind, "", check) for kind in kinds for check in checks(kind)
    ]
    parts = [options.only] if options.only else PARTS
    for part in parts:
        progress.expect(jobs[part])
    done = {part: children.do(jobs[part], progress.begin) for part in parts}
    reports: list[CaseReport] = []
    if "cases" in done:
        played = iter(done["cases"])
        nothing = Played([], "unknown")
        reports = [
            CaseReport(case, nothing, nothing, lacks=lacks)
            if lacks
            else case_report(case, next(played), traits[case.kind][1].has_state)
            for case, lacks in short
        ]
    return Report(
        interpreter=sys.version.split()[0],
        subject=str(named),
        kinds=kinds,
        not_examined=not_examined,
        names=names_of(traits),
        cases=reports if "cases" in done else None,
        tests=[lock_test_report(each, lacking[each.job[1]]) for each in done["lock_tests"]]
        if "lock_tests" in done
        else None,
        tests_missing=missing if "lock_tests" in done else "",
        checks=[check_report(each) for each in done["contention"]]
        if "contention" in done
        else None,
        without_state=[kind for kind, (_, mine) in traits.items() if not mine.has_state],
    )


def _look(
    children: Children, wanted: list[str]
) -> tuple[dict[str, tuple[Traits, Traits]], dict[str, str]]:
    """Return the traits of the kinds that can be examined, the interpreter's first; and why not."""
    usable: dict[str, tuple[Traits, Traits]] = {}
    not_examined: dict[str, str] = {}
    for done in children.do([("traits", kind, "", "") for kind in wanted]):
        kind = done.job[1]
        if done.subject is None:
            how = done.death.how if done.death else "given up"
            not_examined[kind] = f"cannot make a {kind}: {how}"
            continue
        theirs, mine = Traits(*done.interpreter), Traits(*done.subject)
        if mine.unusable:
            not_examined[kind] = mine.unusable
        else:
            usable[kind] = (theirs, mine)
    return usable, not_examined
