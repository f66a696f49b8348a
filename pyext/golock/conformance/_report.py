"""Compares what two locks gave, and prints it as a table."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from ._lock_tests import LockTestsReport
from ._play import Played, Subject, play
from ._vectors import Case, Outcome, Step, load


class CaseReport(NamedTuple):
    """A case with what both locks gave."""

    case: Case
    interpreter: Played
    subject: Played

    @property
    def same(self) -> bool:
        """Return whether both locks gave the recorded answers and ended as recorded."""
        return not self.stale and _agrees(self.case, self.subject)

    @property
    def stale(self) -> bool:
        """Return whether lock.json is wrong about the running interpreter."""
        return not _agrees(self.case, self.interpreter)

    @property
    def notes(self) -> list[str]:
        """Return what is said of messages that are neither this interpreter's nor the recorded."""
        outcomes = zip(self.interpreter.outcomes, self.subject.outcomes, strict=False)
        steps = zip(self.case.steps, outcomes, strict=False)
        return [
            f"{describe(step)}: message {mine.message!r}, the interpreter's {theirs.message!r}"
            for step, (theirs, mine) in steps
            if mine.kind == "raises" and mine.message not in (theirs.message, step.expected.message)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "name": self.case.name,
            "group": self.case.group,
            "same": self.same,
            "expectation_is_stale": self.stale,
            "expected": [str(step.expected) for step in self.case.steps] + [self.case.end],
            "interpreter": [str(outcome) for outcome in self.interpreter.outcomes]
            + [self.interpreter.end],
            "lock": [str(outcome) for outcome in self.subject.outcomes] + [self.subject.end],
            "notes": self.notes,
        }


def compare(interpreter: Subject, subject: Subject) -> list[CaseReport]:
    """Play every case that holds for this interpreter on both locks."""
    return [CaseReport(case, play(case, interpreter), play(case, subject)) for case in load()]


def _agrees(case: Case, played: Played) -> bool:
    expected = [step.expected for step in case.steps]
    if len(played.outcomes) != len(expected) or played.end != case.end:
        return False
    return all(mine.same_as(theirs) for mine, theirs in zip(played.outcomes, expected, strict=True))


def describe(step: Step) -> str:
    """Return the call as Python would write it, escapes aside."""
    parts = [_argument(value) for value in step.args]
    parts += [f"{name}={_argument(value)}" for name, value in step.kwargs.items()]
    return f"{step.call}({', '.join(parts)})"


def _argument(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((key, content),) = value.items()
        return f"<{key[1:]} {content}>"
    return repr(value)


def print_cases(reports: list[CaseReport], verbose: bool) -> None:
    """Print a line a group and the cases that differ; with ``verbose`` every case."""
    print("\nCases                                 same  different")
    differing = 0
    for group, members in groupby(reports, key=lambda report: report.case.group):
        rows = list(members)
        different = sum(not row.same for row in rows)
        differing += different
        print(f"  {group:<34} {len(rows) - different:>5} {different:>10}")
        for row in rows:
            if verbose or not row.same:
                _print_case(row)
    notes = [note for report in reports for note in report.notes]
    if verbose:
        for note in notes:
            print(f"  note: {note}")
    hint = " (-v shows them)" if notes and not verbose else ""
    print(
        f"{len(reports)} cases: {len(reports) - differing} same, {differing} different; "
        f"{len(notes)} differ in the wording of a message only{hint}"
    )


def _print_case(row: CaseReport) -> None:
    verdict = "same" if row.same else "STALE" if row.stale else "DIFFERENT"
    print(f"    {verdict:<9} {row.case.name} (lock {row.case.start} at first)")
    for index, step in enumerate(row.case.steps):
        theirs, mine = _at(row.interpreter, index), _at(row.subject, index)
        if theirs.same_as(step.expected) and mine.same_as(step.expected):
            print(f"      {describe(step)} -> {mine}")
        else:
            print(f"      {describe(step)}")
            print(f"        expected    {step.expected}")
            print(f"        interpreter {theirs}")
            print(f"        lock        {mine}")
    if {row.interpreter.end, row.subject.end} != {row.case.end}:
        print(
            f"      left: expected {row.case.end}, "
            f"interpreter {row.interpreter.end}, lock {row.subject.end}"
        )


def _at(played: Played, index: int) -> Outcome:
    return played.outcomes[index] if index < len(played.outcomes) else Outcome("not reached", None)


def print_lock_tests(report: LockTestsReport, verbose: bool) -> None:
    """Print how the interpreter's own tests fared over both locks."""
    print(f"\n{report.title}")
    if report.missing:
        print(f"  {report.missing}")
        return
    for test in report.tests:
        if verbose or not test.same:
            verdict = "same" if test.same else "DIFFERENT"
            print(
                f"  {verdict:<9} {test.name}: interpreter {test.interpreter}, lock {test.subject}"
            )
            if not test.same and test.detail:
                print("    " + test.detail.strip().replace("\n", "\n    "))
    print(
        f"{len(report.tests)} tests: {report.passed} pass on both, {report.differences} different"
    )
