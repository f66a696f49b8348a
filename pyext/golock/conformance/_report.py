"""Compares what two families gave, and prints it as a table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from ._family import Family
from ._lock_tests import LockTestsReport
from ._play import Played, play
from ._vectors import Case, Outcome, load


class CaseReport(NamedTuple):
    """A case with what both families gave."""

    case: Case
    interpreter: Played
    subject: Played

    @property
    def same(self) -> bool:
        """Return whether both gave the recorded answers and ended as recorded."""
        return not self.stale and _agrees(self.case, self.subject)

    @property
    def stale(self) -> bool:
        """Return whether the recorded answers are wrong about the running interpreter."""
        return not _agrees(self.case, self.interpreter)

    @property
    def notes(self) -> list[str]:
        """Return what is said of messages that are neither this interpreter's nor the recorded."""
        outcomes = zip(self.interpreter.outcomes, self.subject.outcomes, strict=False)
        steps = zip(self.case.steps, outcomes, strict=False)
        return [
            f"{step}: message {mine.message!r}, the interpreter's {theirs.message!r}"
            for step, (theirs, mine) in steps
            if mine.kind == "raises" and mine.message not in (theirs.message, step.expected.message)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "type": self.case.type,
            "name": self.case.name,
            "group": self.case.group,
            "same": self.same,
            "expectation_is_stale": self.stale,
            "expected": [str(step.expected) for step in self.case.steps] + [self.case.end],
            "interpreter": [str(outcome) for outcome in self.interpreter.outcomes]
            + [self.interpreter.end],
            "subject": [str(outcome) for outcome in self.subject.outcomes] + [self.subject.end],
            "notes": self.notes,
        }


def compare(interpreter: Family, subject: Family, types: Iterable[str]) -> list[CaseReport]:
    """Play every case that holds for this interpreter on both families."""
    return [
        CaseReport(case, play(case, interpreter), play(case, subject))
        for kind in types
        for case in load(kind)
    ]


def _agrees(case: Case, played: Played) -> bool:
    expected = [step.expected for step in case.steps]
    if len(played.outcomes) != len(expected) or played.end != case.end:
        return False
    return all(mine.same_as(theirs) for mine, theirs in zip(played.outcomes, expected, strict=True))


def print_cases(reports: list[CaseReport], verbose: bool) -> None:
    """Print a line a group and the cases that differ; with ``verbose`` every case."""
    print(f"\n{'Cases':<40}  same  different")
    for kind, cases in groupby(reports, key=lambda report: report.case.type):
        of_type = list(cases)
        _print_row(kind, of_type)
        for group, members in groupby(of_type, key=lambda report: report.case.group):
            rows = list(members)
            _print_row(f"  {group}", rows)
            for row in rows:
                if verbose or not row.same:
                    _print_case(row)
    notes = [note for report in reports for note in report.notes]
    if verbose:
        for note in notes:
            print(f"  note: {note}")
    hint = " (-v shows them)" if notes and not verbose else ""
    different = sum(not report.same for report in reports)
    print(
        f"{len(reports)} cases: {len(reports) - different} same, {different} different; "
        f"{len(notes)} differ in the wording of a message only{hint}"
    )


def _print_row(label: str, rows: list[CaseReport]) -> None:
    different = sum(not row.same for row in rows)
    print(f"{label:<40} {len(rows) - different:>5} {different:>10}")


def _print_case(row: CaseReport) -> None:
    verdict = "same" if row.same else "STALE" if row.stale else "DIFFERENT"
    print(f"    {verdict:<9} {row.case.name} ({row.case.type}, {row.case.start} at first)")
    for index, step in enumerate(row.case.steps):
        theirs, mine = _at(row.interpreter, index), _at(row.subject, index)
        if theirs.same_as(step.expected) and mine.same_as(step.expected):
            print(f"      {step} -> {mine}")
        else:
            print(f"      {step}")
            print(f"        expected    {step.expected}")
            print(f"        interpreter {theirs}")
            print(f"        subject     {mine}")
    if {row.interpreter.end, row.subject.end} != {row.case.end}:
        print(
            f"      left: expected {row.case.end}, "
            f"interpreter {row.interpreter.end}, subject {row.subject.end}"
        )


def _at(played: Played, index: int) -> Outcome:
    return played.outcomes[index] if index < len(played.outcomes) else Outcome("not reached", None)


def print_lock_tests(report: LockTestsReport, verbose: bool) -> None:
    """Print how the interpreter's own tests fared over both families."""
    print(f"\n{report.title}")
    if report.missing:
        print(f"  {report.missing}")
        return
    for group, members in groupby(report.tests, key=lambda test: test.group):
        tests = list(members)
        passed = sum(test.same and test.subject == "ok" for test in tests)
        different = sum(not test.same for test in tests)
        print(f"  {group:<38} {passed:>3} pass on both, {different} different")
        for test in tests:
            if verbose or not test.same:
                verdict = "same" if test.same else "DIFFERENT"
                print(
                    f"    {verdict:<9} {test.name}: interpreter {test.interpreter}, "
                    f"subject {test.subject}"
                )
                if not test.same and test.detail:
                    print("      " + test.detail.strip().replace("\n", "\n      "))
    print(
        f"{len(report.tests)} tests: {report.passed} pass on both, {report.differences} different"
    )
