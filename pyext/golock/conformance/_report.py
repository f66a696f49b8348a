"""The report of a comparison: a summary of ten lines at most, the findings, and a JSON document."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import Any, NamedTuple

from ._findings import SEVERITIES, CaseReport, CheckReport, Finding, Names, TestReport
from ._standard_library import VERSION
from ._vectors import Outcome

_WIDTH = 100
_SHOWN = 2


class Lack(NamedTuple):
    """A name that the interpreter's type has, and how many cases and tests need it."""

    kind: str
    name: str
    cases: int


class Report(NamedTuple):
    """All that was found; a part that was not run is ``None``."""

    interpreter: str
    subject: str
    kinds: list[str]
    not_examined: dict[str, str]
    names: Names
    cases: list[CaseReport] | None
    tests: list[TestReport] | None
    tests_missing: str
    checks: list[CheckReport] | None
    without_state: list[str]

    @property
    def lacks(self) -> list[Lack]:
        """Return the missing names that anything needs, kind by kind, in alphabetical order."""
        counts: dict[tuple[str, str], int] = {}
        for case in self.cases or []:
            for name in case.lacks:
                counts[case.case.kind, name] = counts.get((case.case.kind, name), 0) + 1
        for test in self.tests or []:
            for name in test.lacks:
                counts[test.kind, name] = counts.get((test.kind, name), 0) + 1
        kinds = [key for kind in self.kinds for key in sorted(counts) if key[0] == kind]
        return [Lack(kind, name, counts[kind, name]) for kind, name in kinds]

    @property
    def findings(self) -> list[Finding]:
        """Return the findings, the worst first; of the same severity contention first."""
        found = [finding for check in self.checks or [] for finding in check.findings()]
        found += [finding for case in self.cases or [] for finding in case.findings(self.names)]
        found += [finding for test in self.tests or [] for finding in test.findings()]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def differences(self) -> int:
        """Return how many findings count, and names are missing."""
        return sum(finding.counts for finding in self.findings) + len(self.lacks)

    def as_json(self) -> dict[str, Any]:
        """Return the document that ``report.schema.json`` describes."""
        found = self.findings
        return {
            "version": VERSION,
            "interpreter": self.interpreter,
            "subject": self.subject,
            "kinds": self.kinds,
            "not_examined": [{"kind": kind, "why": why} for kind, why in self.not_examined.items()],
            "without_state": self.without_state,
            "differences": self.differences,
            "summary": {
                severity: sum(finding.severity == severity for finding in found)
                for severity in SEVERITIES
            },
            "lacks": [lack._asdict() for lack in self.lacks],
            "findings": [finding._asdict() for finding in found],
            "cases": None if self.cases is None else [self._case(case) for case in self.cases],
            "lock_tests": self._lock_tests(),
            "contention": None
            if self.checks is None
            else [_check_as_json(check) for check in self.checks],
        }

    def _case(self, report: CaseReport) -> dict[str, Any]:
        case, names = report.case, self.names
        expected = [names.theirs(str(step.expected), case.kind) for step in case.steps]
        theirs = [names.theirs(str(each), case.kind) for each in report.interpreter.outcomes]
        mine = [names.mine(str(each), case.kind) for each in report.subject.outcomes]
        return {
            "kind": case.kind,
            "name": case.name,
            "group": case.group,
            "start": case.start,
            "calls": [str(step) for step in case.steps],
            "verdict": _verdict(report),
            "expected": [*expected, case.end],
            "interpreter": [*theirs, report.interpreter.end],
            "subject": [*mine, report.subject.end],
            "lacks": list(report.lacks),
        }

    def _lock_tests(self) -> dict[str, Any] | None:
        if self.tests is None:
            return None
        return {
            "missing": self.tests_missing or None,
            "tests": [
                {
                    "kind": test.kind,
                    "group": test.group,
                    "name": test.name,
                    "verdict": _verdict(test),
                    "interpreter": test.interpreter,
                    "subject": test.subject,
                    "detail": test.detail,
                    "lacks": list(test.lacks),
                }
                for test in self.tests
            ],
        }


def _check_as_json(check: CheckReport) -> dict[str, Any]:
    return {
        "kind": check.kind,
        "name": check.name,
        "verdict": _verdict(check),
        "why": check.subject.skipped or None,
        "interpreter": [fault.text for fault in check.interpreter.faults],
        "subject": [finding.text for finding in check.findings()],
    }


def _verdict(report: CaseReport | TestReport | CheckReport) -> str:
    if report.same:
        return "same"
    if report.compared:
        stale = isinstance(report, CaseReport) and report.stale
        return "stale" if stale else "different"
    return "given up" if report.given_up else "not compared"


# For people.


def print_report(report: Report, verbose: bool) -> None:
    """Print the summary, then the findings; with ``verbose`` every case, test and check."""
    print("\n".join(summary(report)))
    _print_lacks(report)
    _print_findings(report, verbose)
    if verbose:
        _print_cases(report)
        _print_tests(report)
        _print_checks(report)


def summary(report: Report) -> list[str]:
    """Return the lines that say it all, ten at most."""
    count = report.differences
    told = f"{count:,} difference{'s' * (count != 1)}" if count else "nothing differs"
    lines = [f"{report.subject} beside CPython {report.interpreter}: {told}"]
    found = report.findings
    for severity in SEVERITIES[:-1]:
        of_it = [finding for finding in found if finding.severity == severity]
        if of_it:
            first = _told(of_it[0], report.kinds)
            lines.append(_cut(f"  {severity:<18}{len(of_it):>5}  {first}"))
    lacks = report.lacks
    if lacks:
        names = ", ".join(dict.fromkeys(lack.name for lack in lacks))
        lines.append(_cut(f"  {'missing names':<18}{len(lacks):>5}  {names}"))
    lines.append("  compared: " + ", ".join(_compared(report)))
    if report.not_examined:
        lines.append(f"  not examined: {', '.join(report.not_examined)}")
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3].rstrip() + "..."


def _told(finding: Finding, kinds: list[str]) -> str:
    """Return a finding in one line; a case tells its calls, and needs no name."""
    kind = f"{finding.kind}, " if len(kinds) > 1 else ""
    name = "" if finding.part == "cases" else f"{finding.name}: "
    return f"{kind}{name}{finding.text}"


def _compared(report: Report) -> list[str]:
    parts = []
    for items, what in (
        (report.cases, "cases"),
        (report.tests, "tests"),
        (report.checks, "checks"),
    ):
        if items:
            number = sum(item.compared for item in items)
            of = f" of {len(items):,}" * (number < len(items))
            parts.append(f"{number:,}{of} {what}")
    if report.tests_missing:
        parts.append("no test.lock_tests")
    messages = sum(not finding.counts for finding in report.findings)
    if messages:
        parts.append(f"{messages} messages worded differently")
    return parts or ["nothing"]


def _print_lacks(report: Report) -> None:
    lacks = report.lacks
    reasons = dict.fromkeys(
        f"{check.kind}: {check.name} not checked, as {check.subject.skipped}"
        for check in report.checks or []
        if check.subject.skipped
    )
    if lacks or reasons or report.without_state or report.tests_missing or report.not_examined:
        print("\nNot compared")
    for lack in lacks:
        cases = f"{lack.cases} case{'s' * (lack.cases != 1)}"
        print(f"  {lack.kind} lacks {lack.name}: {cases} not compared")
    for reason in reasons:
        print(f"  {reason}")
    for kind in report.without_state:
        print(f"  {kind}: nothing tells its state, so the state after a case is not compared")
    for kind, why in report.not_examined.items():
        print(f"  {kind} not examined: {report.subject} {why}")
    if report.tests_missing:
        print(f"  {report.tests_missing}")
    for items, what in (
        (report.cases, "cases"),
        (report.tests, "tests"),
        (report.checks, "checks"),
    ):
        number = sum(item.given_up for item in items or [])
        if number:
            print(f"  {number} {what} given up, after too many crashes or hangs")


def _print_findings(report: Report, verbose: bool) -> None:
    for severity, members in groupby(report.findings, key=lambda finding: finding.severity):
        found = list(members)
        if severity == SEVERITIES[-1] and not verbose:
            continue
        print(f"\n{severity.capitalize()}: {len(found)}")
        for where, of_it in groupby(found, key=_place):
            of_group = list(of_it)
            print(f"  {where}: {len(of_group)}")
            for finding in of_group if verbose else of_group[:_SHOWN]:
                named = f"{finding.name}: " if verbose or finding.part != "cases" else ""
                print(_wrapped(f"{named}{finding.text}"))
                if verbose and finding.detail:
                    print(textwrap.indent(finding.detail.strip(), "        "))
            if not verbose and len(of_group) > _SHOWN:
                print(f"    and {len(of_group) - _SHOWN} more")
    if not verbose and any(finding.counts for finding in report.findings):
        print("\n-v shows all")


def _place(finding: Finding) -> str:
    if finding.part == "contention":
        return f"{finding.kind}, contention"
    return f"{finding.kind}, {finding.group}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="        ")


def _print_cases(report: Report) -> None:
    if not report.cases:
        return
    print(f"\n{'Cases':<40}  same  different  not compared")
    for kind, cases in groupby(report.cases, key=lambda each: each.case.kind):
        of_kind = list(cases)
        _print_row(kind, of_kind)
        for group, members in groupby(of_kind, key=lambda each: each.case.group):
            rows = list(members)
            _print_row(f"  {group}", rows)
            for row in rows:
                _print_case(row, report.names)


def _print_row(label: str, rows: list[CaseReport]) -> None:
    same, compared = sum(row.same for row in rows), sum(row.compared for row in rows)
    print(f"{label:<40} {same:>5} {compared - same:>10} {len(rows) - compared:>13}")


def _print_case(row: CaseReport, names: Names) -> None:
    case, verdict = row.case, _verdict(row).upper() if not row.same else "same"
    print(f"    {verdict:<12} {case.name} ({case.kind}, {case.start} at first)")
    if not row.compared:
        return
    for index, step in enumerate(case.steps):
        theirs, mine = _at(row.interpreter.outcomes, index), _at(row.subject.outcomes, index)
        said = names.mine(str(mine), case.kind)
        if theirs.same_as(step.expected) and mine.same_as(step.expected):
            print(f"      {step} -> {said}")
        else:
            print(f"      {step}")
            print(f"        expected    {names.theirs(str(step.expected), case.kind)}")
            print(f"        interpreter {names.theirs(str(theirs), case.kind)}")
            print(f"        subject     {said}")
    if {row.interpreter.end, row.subject.end} != {case.end}:
        print(
            f"      left: expected {case.end}, "
            f"interpreter {row.interpreter.end}, subject {row.subject.end}"
        )


def _at(outcomes: list[Outcome], index: int) -> Outcome:
    return outcomes[index] if index < len(outcomes) else Outcome("not reached", None)


def _print_tests(report: Report) -> None:
    if report.tests:
        print("\nThe interpreter's own test.lock_tests")
    for test in report.tests or []:
        verdict = "same" if test.same else _verdict(test).upper()
        print(
            f"  {verdict:<12} {test.group}.{test.name}: interpreter {test.interpreter}, "
            f"subject {test.subject}"
        )


def _print_checks(report: Report) -> None:
    if report.checks:
        print("\nContention")
    for check in report.checks or []:
        verdict = "same" if check.same else _verdict(check).upper()
        print(f"  {verdict:<12} {check.kind}: {check.name}")
