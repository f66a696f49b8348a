"""What differs, as findings with a severity: from cases, the interpreter's tests, and checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ._children import Death, Done
from ._contention import MUTEXES, Fault, Found
from ._play import Played
from ._subject import Traits
from ._vectors import BLOCKS, HANGS, KINDS, Case, Outcome, Step

SEVERITIES = (
    "crashes and hangs",
    "exclusion",
    "lost wake-ups",
    "time-outs",
    "exceptions",
    "values and states",
    "messages",
)
"""From the worst down. Findings of the last are not counted as differences."""


class Finding(NamedTuple):
    """One thing that differs: where it was found, and a sentence; ``detail`` may be long."""

    severity: str
    part: str
    kind: str
    group: str
    name: str
    text: str
    detail: str = ""

    @property
    def counts(self) -> bool:
        """Return whether it is a difference, and not another wording only."""
        return self.severity != SEVERITIES[-1]


class Names(NamedTuple):
    """The full names of the types that ``{type}`` and ``{RLock}`` stand for in texts."""

    interpreter: dict[str, str]
    subject: dict[str, str]

    def theirs(self, text: str, kind: str) -> str:
        """Return a text about the interpreter's type with its name in place."""
        return _spelled(text, kind, self.interpreter)

    def mine(self, text: str, kind: str) -> str:
        """Return a text about the subject's type with its name in place."""
        return _spelled(text, kind, {**self.interpreter, **self.subject})


def names_of(traits: dict[str, tuple[Traits, Traits]]) -> Names:
    """Return the names of the types that were looked at."""
    theirs = {kind: each[0].type for kind, each in traits.items()}
    theirs = {kind: name.replace("interpreters_", "") for kind, name in theirs.items()}
    return Names(theirs, {kind: each[1].type for kind, each in traits.items() if each[1].type})


def _spelled(text: str, kind: str, names: dict[str, str]) -> str:
    full = names.get(kind, kind)
    text = text.replace("'{type}'", f"'{full.rpartition('.')[2]}'").replace("{type}", full)
    for other in KINDS:
        text = text.replace(f"{{{other}}}", names.get(other, other))
    return text


class CaseReport(NamedTuple):
    """A case with what both sides gave, or why it was not compared."""

    case: Case
    interpreter: Played
    subject: Played
    death: Death | None = None
    lacks: tuple[str, ...] = ()
    given_up: bool = False
    has_state: bool = True

    @property
    def compared(self) -> bool:
        """Return whether there is anything to compare."""
        return not (self.lacks or self.given_up)

    @property
    def stale(self) -> bool:
        """Return whether the recorded answers are wrong about the running interpreter."""
        return self.compared and not _agrees(self.case, self.interpreter, True)

    @property
    def same(self) -> bool:
        """Return whether both gave the recorded answers and ended as recorded."""
        return self.compared and not self.stale and self._subject_agrees

    @property
    def _subject_agrees(self) -> bool:
        return self.death is None and _agrees(self.case, self.subject, self.has_state)

    def findings(self, names: Names) -> list[Finding]:
        """Return what differs in the case: one thing that counts at most, and messages."""
        if not self.compared:
            return []
        if self.same:
            return self._messages(names)
        severity, text = self._difference(names)
        return [self._finding(severity, text, self.death.words if self.death else "")]

    def _finding(self, severity: str, text: str, detail: str = "") -> Finding:
        case = self.case
        return Finding(severity, "cases", case.kind, case.group, case.name, text, detail)

    def _messages(self, names: Names) -> list[Finding]:
        outcomes = zip(self.interpreter.outcomes, self.subject.outcomes, strict=False)
        found = []
        for step, (theirs, mine) in zip(self.case.steps, outcomes, strict=False):
            known = (theirs.message, step.expected.message)
            if mine.kind == "raises" and mine.message not in known:
                kind = self.case.kind
                text = f"{step} says {names.mine(mine.message, kind)!r}, "
                text += f"the interpreter's {names.theirs(theirs.message, kind)!r}"
                found.append(self._finding("messages", text))
        return found

    def _difference(self, names: Names) -> tuple[str, str]:
        kind, case = self.case.kind, self.case
        if self.stale:
            return "values and states", "the interpreter's answers are not those recorded"
        if self.death:
            step = case.steps[0] if len(case.steps) == 1 else ""
            return "crashes and hangs", f"{step}{': ' * bool(step)}{self.death.how}"
        for step, mine in zip(case.steps, self.subject.outcomes, strict=False):
            if mine == HANGS:
                if step.call.startswith("come"):
                    return "lost wake-ups", f"{step}: a thread that must be woken is not"
                return "crashes and hangs", f"{step}: hangs"
            if not _alike(mine, step.expected, self.has_state):
                text = f"{step} gives {names.mine(str(mine), kind)}, "
                text += f"the interpreter's {names.theirs(str(step.expected), kind)}"
                return _severity(kind, step, mine), text
        if len(self.subject.outcomes) < len(case.steps):
            reason = self.subject.end.partition(": ")[2] or "no answer"
            return "exceptions", f"cannot be made, or brought to the start: {reason}"
        text = f"leaves it {self.subject.end}, the interpreter's is {case.end}"
        return "values and states", text


def _agrees(case: Case, played: Played, with_state: bool) -> bool:
    expected = [step.expected for step in case.steps]
    if len(played.outcomes) != len(expected) or (with_state and played.end != case.end):
        return False
    pairs = zip(played.outcomes, expected, strict=True)
    return all(_alike(mine, theirs, with_state) for mine, theirs in pairs)


def _alike(mine: Outcome, theirs: Outcome, with_state: bool) -> bool:
    if not with_state:
        mine, theirs = (each._replace(value=_stateless(each.value)) for each in (mine, theirs))
    return mine.same_as(theirs)


def _stateless(value: Any) -> Any:
    """Return a result without the states of new objects in it."""
    if isinstance(value, list):
        return [_stateless(part) for part in value]
    return {"$new": ""} if isinstance(value, dict) and "$new" in value else value


def _severity(kind: str, step: Step, mine: Outcome) -> str:
    expected = step.expected
    refused = expected == BLOCKS or expected[:2] == ("returns", False)
    if kind in MUTEXES and mine.kind == "returns":
        if step.call in ("acquire", "acquire_lock") and refused and mine.value is True:
            return "exclusion"
        if step.call == "release" and step.thread and expected.kind == "raises":
            return "exclusion"
    return "exceptions" if "raises" in (expected.kind, mine.kind) else "values and states"


def case_report(case: Case, done: Done, has_state: bool) -> CaseReport:
    """Return the report of a case that was begun."""
    nothing = Played([], "unknown")
    return CaseReport(
        case,
        _played(done.interpreter) or nothing,
        _played(done.subject) or nothing,
        death=done.death,
        given_up=done.given_up,
        has_state=has_state,
    )


def _played(raw: Any) -> Played | None:
    return None if raw is None else Played([Outcome(*outcome) for outcome in raw[0]], raw[1])


class TestReport(NamedTuple):
    """One test of ``test.lock_tests``: ok, failed, error, skipped, not run, or a death."""

    kind: str
    group: str
    name: str
    interpreter: str
    subject: str
    detail: str
    lacks: tuple[str, ...] = ()
    given_up: bool = False

    @property
    def compared(self) -> bool:
        """Return whether there is anything to compare."""
        return not (self.lacks or self.given_up)

    @property
    def same(self) -> bool:
        """Return whether both fared alike."""
        return self.compared and self.interpreter == self.subject

    def findings(self) -> list[Finding]:
        """Return what differs: one thing at most."""
        if self.same or not self.compared:
            return []
        severity = {"failed": "values and states", "error": "exceptions", "ok": "values and states"}
        lines = self.detail.strip().splitlines()
        said = f": {lines[-1].strip()}" if lines and self.subject in severity else ""
        text = f"{self.subject}, on the interpreter's {self.interpreter}{said}"
        return [
            Finding(
                severity.get(self.subject, "crashes and hangs"),
                *("lock_tests", self.kind, self.group, self.name, text, self.detail),
            )
        ]


def lock_test_report(done: Done, lacking: Iterable[str]) -> TestReport:
    """Return the report of a test; one that ends for want of a name is not compared."""
    _, kind, group, name = done.job
    theirs = done.interpreter[0] if done.interpreter else "not run"
    if done.death:
        return TestReport(kind, group, name, theirs, done.death.how, done.death.words)
    if done.given_up:
        return TestReport(kind, group, name, "not run", "not run", "", given_up=True)
    mine, detail = done.subject
    said = detail.strip().rpartition("\n")[2]
    missed = [word for word in lacking if re.search(rf"\b{re.escape(word)}\b", said)]
    lacks = tuple(missed) if mine == "error" and "Error" in said else ()
    return TestReport(kind, group, name, theirs, mine, detail, lacks)


class CheckReport(NamedTuple):
    """A check of the contention battery with what both sides showed."""

    kind: str
    name: str
    interpreter: Found
    subject: Found
    death: Death | None = None
    given_up: bool = False

    @property
    def compared(self) -> bool:
        """Return whether there is anything to compare."""
        return not (self.given_up or self.subject.skipped)

    @property
    def same(self) -> bool:
        """Return whether the subject shows no fault that the interpreter's does not."""
        return self.compared and not self.findings()

    def findings(self) -> list[Finding]:
        """Return the faults of the subject's that are not the interpreter's too."""
        if not self.compared:
            return []
        if self.death:
            text = f"{self.death.how} in this check"
            return [self._finding("crashes and hangs", text, self.death.words)]
        known = {_skeleton(fault.text) for fault in self.interpreter.faults}
        found = [
            self._finding(fault.severity, fault.text)
            for fault in self.subject.faults
            if _skeleton(fault.text) not in known
        ]
        for what, mine in self.subject.seen.items():
            theirs = self.interpreter.seen.get(what, mine)
            if mine != theirs:
                severity = "crashes and hangs" if mine == "hangs" else "values and states"
                found.append(self._finding(severity, f"{what}: {mine}, the interpreter's {theirs}"))
        return found

    def _finding(self, severity: str, text: str, detail: str = "") -> Finding:
        return Finding(severity, "contention", self.kind, "", self.name, text, detail)


def _skeleton(text: str) -> str:
    """Return the text without its numbers, which are others in each run."""
    return re.sub(r"\d+(\.\d+)?", "#", text)


def check_report(done: Done) -> CheckReport:
    """Return the report of a check."""
    _, kind, _, name = done.job
    theirs, mine = _found(done.interpreter), _found(done.subject)
    return CheckReport(kind, name, theirs, mine, done.death, done.given_up)


def _found(raw: Any) -> Found:
    if raw is None:
        return Found([], {})
    faults, seen, stuck, skipped = raw
    return Found([Fault(*fault) for fault in faults], seen, stuck, skipped)
