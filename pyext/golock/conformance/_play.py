"""Plays a case: makes its objects and its calls, each in its thread, and notes what they give."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from . import _calls
from ._arguments import decode
from ._family import INTERPRETER, Factory, Family
from ._state import arguments, prepare, state
from ._vectors import BLOCKS, HANGS, Case, Made, Outcome, Step

TIME_LIMIT = 20.0
"""Seconds after which a case counts as hanging. The longest waits a few milliseconds."""


class Played(NamedTuple):
    """What a case gave: one outcome a step, and the state after them."""

    outcomes: list[Outcome]
    end: str


def play(case: Case, family: Family) -> Played:
    """Run the case on new objects, in a thread, so that one that never answers can be named."""
    played = Played([], "unknown")
    results = [played]

    def body() -> None:
        results[0] = _play(case, family, played.outcomes)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    if thread.is_alive():
        return Played([*played.outcomes, HANGS], "unknown")
    return results[0]


def _play(case: Case, family: Family, outcomes: list[Outcome]) -> Played:
    try:
        stage = Stage(case, family)
    except Exception as error:
        return Played(outcomes, f"unknown: {type(error).__name__}")
    threaded = any(step.thread for step in case.steps)
    for step in case.steps:
        outcomes.append(stage.perform(step))
        if threaded and not outcomes[-1].same_as(step.expected):
            return Played(outcomes, "unknown")  # the threads are not where the rest expects them
    stage.leave()
    return Played(outcomes, state(case.type, stage.self))


_INTERPRETERS = INTERPRETER.types()
_RELEASE = Step("release", [], {}, Outcome("returns", None))


class Stage:
    """A case under way: its objects, and its threads."""

    def __init__(self, case: Case, family: Family) -> None:
        self.kind = case.type
        self.family = family
        self.types = family.types()
        self.factory = family.factories[case.type]
        self._actors: dict[str, _Actor] = {}
        self._returned: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.objects: dict[str, Any] = {}
        for name, value in case.objects.items():
            self.objects[name] = self._decoded(value)
        self._make = case.make or Made(arguments(case.type, case.start), {})
        self.self = self.objects["self"] = self.another()
        self.type = type(self.self)
        prepare(self.self, case.start)

    def _decoded(self, value: Any) -> Any:
        return decode(value, self.family, self.objects)

    def arguments(self) -> Made:
        """Return the arguments that the object under test is made with."""
        args, kwargs = self._make
        decoded = {name: self._decoded(value) for name, value in kwargs.items()}
        return Made([self._decoded(value) for value in args], decoded)

    def made(self, factory: Factory) -> Any:
        """Return what a factory makes of these arguments."""
        args, kwargs = self.arguments()
        return factory(*args, **kwargs)

    def another(self) -> Any:
        """Return another object like the one under test."""
        return self.made(self.factory)

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
            try:
                name, call = self._returned.get(timeout=TIME_LIMIT)
            except Empty:
                return HANGS
            if name in names and call > self._actors[name].told:
                return Outcome("returns", name)

    def _all(self, names: list[str]) -> Outcome:
        """Let these threads release as they come back, in any order; return what each got."""
        got: dict[str, Any] = {}
        while len(got) < len(names):
            first = self._first(names)
            if first == HANGS:
                return HANGS
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
        args = [self._decoded(value) for value in step.args]
        kwargs = {name: self._decoded(value) for name, value in step.kwargs.items()}
        try:
            owner = self.objects[step.on]
            if step.call in _calls.CALLS:
                result = _calls.CALLS[step.call](owner, self, *args, **kwargs)
            else:
                result = getattr(owner, step.call)(*args, **kwargs)
            if step.keep:
                self.objects[step.keep] = result
            return Outcome("returns", self.encode(result))
        except Exception as error:
            return Outcome("raises", type(error).__name__, self._anonymous(str(error)))

    def encode(self, result: Any) -> Any:
        """Return a result as JSON has it."""
        if isinstance(result, str):
            return self._anonymous(result)
        if result is None or isinstance(result, (bool, int, float)):
            return result
        if isinstance(result, list):
            return [self.encode(value) for value in result]
        for name, known in self.objects.items():
            if result is known:
                return {"$the": name}
        if type(result) is self.type:
            return {"$new": state(self.kind, result)}
        return {"$type": type(result).__name__}

    def _anonymous(self, text: str) -> str:
        """Return the text without addresses, threads and modules, ``{type}`` for the type."""
        text = re.sub(r"0x[0-9a-f]+", "0x...", text)
        text = re.sub(r"\bowner=[1-9]\d*", "owner=...", text)
        kinds = [("type", self.type), *self.types.items(), *_INTERPRETERS.items()]
        for name, kind in kinds:
            full = re.escape(f"{kind.__module__}.{kind.__qualname__}")
            text = re.sub(rf"(?<![\w.]){full}\b", f"{{{name}}}", text)
        text = text.replace(f"'{self.type.__name__}'", "'{type}'")
        text = text.replace(f" on {self.type.__module__} failed", " on its module failed")
        return re.sub(r"\b[\w.]+\.(\w+\(\))", r"\1", text)


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
        try:
            return self._outcomes.get(timeout=TIME_LIMIT)
        except Empty:
            return HANGS

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
