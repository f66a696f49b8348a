"""Plays a case: makes its calls, each in its thread, and notes what they give."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from ._calls import CALLS
from ._family import Family
from ._stage import Stage
from ._state import state
from ._vectors import BLOCKS, HANGS, Case, Outcome, Step

TIME_LIMIT = 20.0
"""Seconds after which a case counts as hanging. The longest waits a few milliseconds."""


class Played(NamedTuple):
    """What a case gave: one outcome a step, and the state after them."""

    outcomes: list[Outcome]
    end: str


def play(case: Case, family: Family, limit: float = TIME_LIMIT) -> Played:
    """Run the case on new objects, in a thread, so that one that never answers can be named."""
    played = Played([], "unknown")
    results = [played]

    def body() -> None:
        results[0] = _play(case, family, played.outcomes)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        return Played([*played.outcomes, HANGS], "unknown")
    return results[0]


def _play(case: Case, family: Family, outcomes: list[Outcome]) -> Played:
    try:
        cast = _Cast(Stage(case, family))
    except Exception as error:
        return Played(outcomes, f"unknown: {type(error).__name__}")
    threaded = any(step.thread for step in case.steps)
    for step in case.steps:
        outcomes.append(cast.perform(step))
        if threaded and not outcomes[-1].same_as(step.expected):
            return Played(outcomes, "unknown")  # the threads are not where the rest expects them
    cast.leave()
    return Played(outcomes, state(case.kind, cast.stage.self))


_RELEASE = Step("release", [], {}, Outcome("returns", None))


class _Cast:
    """The threads of a case, and the calls that they make on its stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._actors: dict[str, _Actor] = {}
        self._returned: SimpleQueue[tuple[str, int]] = SimpleQueue()

    def perform(self, step: Step) -> Outcome:
        """Make the call of a step, and return what came of it."""
        if step.call == "comes back":
            return self._actors[step.thread].outcome()
        if step.call == "comes back first":
            return self._first(step.args)
        if step.call == "come back and release":
            return self._all(step.args)
        if not step.thread:
            return self._outcome(step)
        actor = self._actors.get(step.thread)
        if actor is None:
            actor = self._actors[step.thread] = _Actor(step.thread, self._returned)
        actor.begin(lambda: self._outcome(step))
        if step.expected == BLOCKS and actor.sleeps():
            return BLOCKS
        return actor.outcome()

    def _first(self, names: list[str]) -> Outcome:
        """Return which of these threads is the first whose call has come back."""
        while True:
            name, call = self._returned.get()
            if name in names and call > self._actors[name].told:
                return Outcome("returns", name)

    def _all(self, names: list[str]) -> Outcome:
        """Let these threads release as they come back, in any order; return what each got."""
        got: dict[str, Any] = {}
        while len(got) < len(names):
            first = self._first(names)
            outcome = self._actors[first.value].outcome()
            got[first.value] = outcome.value if outcome.kind == "returns" else str(outcome)
            self._actors[first.value].begin(lambda: self._outcome(_RELEASE))
            self._actors[first.value].outcome()
        return Outcome("returns", [got[name] for name in names])

    def leave(self) -> None:
        """Let the threads end."""
        for actor in self._actors.values():
            actor.end()

    def _outcome(self, step: Step) -> Outcome:
        stage = self.stage
        args = [stage.decoded(value) for value in step.args]
        kwargs = {name: stage.decoded(value) for name, value in step.kwargs.items()}
        try:
            owner = stage.objects[step.on]
            if step.call in CALLS:
                result = CALLS[step.call](owner, stage, *args, **kwargs)
            else:
                result = getattr(owner, step.call)(*args, **kwargs)
            if step.keep:
                stage.objects[step.keep] = result
            return Outcome("returns", stage.encode(result))
        except Exception as error:
            return Outcome("raises", type(error).__name__, stage.anonymous(str(error)))


class _Actor:
    """A thread that makes one call after another, and can be seen to sleep in one."""

    def __init__(self, name: str, returned: SimpleQueue[tuple[str, int]]) -> None:
        self._name = name
        self._returned = returned
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._begun = 0
        self.told = 0
        """How many of its calls' outcomes have been asked for."""
        self._asked = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        for call in iter(self._jobs.get, None):
            self._begun += 1
            self._outcomes.put(call())
            self._returned.put((self._name, self._begun))

    def begin(self, call: Callable[[], Outcome]) -> None:
        self._asked += 1
        self._jobs.put(call)

    def outcome(self) -> Outcome:
        """Wait for the end of the call, and return what it gave."""
        self.told += 1
        return self._outcomes.get()

    def sleeps(self) -> bool:
        """Wait until the call has come back, or its thread has been asleep for a while."""
        status = Path(f"/proc/self/task/{self._thread.native_id}/status")
        before = ""
        alike = 0
        while alike < 3:
            if not self._outcomes.empty():
                return False
            now = status.read_text(encoding="ascii") if self._begun == self._asked else ""
            asleep = "\nState:\tS" in now
            alike = alike + 1 if asleep and now == before else 0
            before = now
            time.sleep(0.001)
        return True

    def end(self) -> None:
        self._jobs.put(None)
