"""A measure: the figures of both sides, their summary, and the target."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# The interpreter's lock is a different and much faster one from 3.13.1 on.
FASTER_INTERPRETER = sys.version_info >= (3, 13, 1)
WITHOUT_GIL = not getattr(sys, "_is_gil_enabled", lambda: True)()

_BOUNDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Target:
    """A bound on golock's figure, or on its ratio to the interpreter's."""

    of: str
    """``"ratio"``, or ``"golock"`` for golock's figure in the measure's own unit."""
    bound: str
    """``"<="`` or ``">="``."""
    limit: float


def which(slower: T, faster: T, without_gil: T) -> T:
    """Choose by the interpreter: whether it has its faster lock, and whether it has a GIL."""
    return without_gil if WITHOUT_GIL else faster if FASTER_INTERPRETER else slower


def ratio_at_most(slower: float, faster: float, without_gil: float) -> Target:
    """Return a bound on the ratio, chosen by `which`."""
    return Target("ratio", "<=", which(slower, faster, without_gil))


@dataclass(frozen=True)
class Measure:
    """One line of the table: all runs of both sides, and how to summarize them."""

    name: str
    unit: str
    summary: Callable[[Iterable[float]], float]
    """Summarizes the runs: `min` or `statistics.median`."""
    golock: tuple[float, ...]
    interpreter: tuple[float, ...]
    target: Target | None
    more_is_better: bool = False
    """Whether a greater figure is the better one, as of a rate."""

    @property
    def ratio(self) -> float:
        """Golock's figure divided by the interpreter's."""
        return self.summary(self.golock) / self.summary(self.interpreter)

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``same`` where the figures differ by less than 5 %."""
        gain = self.ratio if self.more_is_better else 1 / self.ratio
        return "better" if gain > 1.05 else "worse" if gain < 1 / 1.05 else "same"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.of == "ratio" else self.summary(self.golock)
        return _BOUNDS[self.target.bound](figure, self.target.limit)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints for the measure."""
        target = self.target
        return {
            "name": self.name,
            "unit": self.unit,
            "golock": self.summary(self.golock),
            "interpreter": self.summary(self.interpreter),
            "ratio": self.ratio,
            "verdict": self.verdict,
            "target": None if target is None else vars(target),
            "met": self.met,
            "summary": self.summary.__name__,
            "runs": {"golock": self.golock, "interpreter": self.interpreter},
        }
