"""The lock's test cases, replayed on one lock by Python and Go in turn."""

from __future__ import annotations

import json

import pytest
from gopy_counter import peer

import golock
from golock.conformance._family import family_of
from golock.conformance._play import play
from golock.conformance._vectors import FILES, FOLDER, applies, case

CASES = [
    case("Lock", raw)
    for raw in json.loads((FOLDER / FILES["Lock"]).read_text())["cases"]
    if raw.get("go") and applies(raw)
]

# gopy raises RuntimeError for every error. These are the errors of golock.PythonLock in Go.
EXCEPTIONS = {
    "release unlocked lock": RuntimeError,
    "can't specify a timeout for a non-blocking call": ValueError,
    "timeout value must be a non-negative number": ValueError,
    "invalid value NaN (not a number)": ValueError,
    "timeout value is too large": OverflowError,
}


class ByTurns:
    """A lock that Python and Go call in turn; both must see the same state after each call."""

    def __init__(self, calls_in_go):
        self.python = golock.Lock()
        self.go = peer.NewPeer(self.python.address)
        self.calls_in_go = calls_in_go  # whether the next call is

    def call(self, in_python, in_go):
        try:
            return in_go() if self.calls_in_go else in_python()
        except RuntimeError as error:
            raise EXCEPTIONS[str(error)](str(error)) from None
        finally:
            self.calls_in_go = not self.calls_in_go
            assert self.python.locked() is self.go.Locked()

    def acquire(self, blocking=True, timeout=-1):
        return self.call(
            lambda: self.python.acquire(blocking, timeout),
            lambda: self.go.Acquire(blocking, timeout),
        )

    def release(self):
        return self.call(self.python.release, lambda: self.go.Release() or None)

    def locked(self):
        return self.call(self.python.locked, self.go.Locked)

    acquire_lock, release_lock, locked_lock = acquire, release, locked


@pytest.mark.parametrize("go_begins", [False, True], ids=["Python begins", "Go begins"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_vectors_by_turns(case, go_begins):
    family = family_of(golock)
    family.factories["Lock"] = lambda: ByTurns(go_begins)
    played = play(case, family)
    assert [
        outcome.same_as(step.expected)
        for outcome, step in zip(played.outcomes, case.steps, strict=True)
    ] == [True] * len(case.steps), played.outcomes
    assert played.end == case.end
