"""What is examined: golock, another module's types, or one callable; and what it lacks."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ._calls import CALLS
from ._family import INTERPRETER, Family, family_of
from ._internals import SCRIPTS
from ._state import state
from ._vectors import Case

ESSENTIAL = {
    "Lock": ("acquire", "release"),
    "RLock": ("acquire", "release"),
    "Condition": ("acquire", "release", "wait", "notify"),
    "Semaphore": ("acquire", "release"),
    "BoundedSemaphore": ("acquire", "release"),
    "Event": ("is_set", "set", "clear", "wait"),
    "Barrier": ("wait",),
}
"""The methods without which an object of a kind is none."""


class UnusableError(Exception):
    """There is nothing to examine; the message is a sentence without its full stop."""


class Named(NamedTuple):
    """A subject as the command line names it: a module, or a callable of it and its kind."""

    module: str
    callable: str = ""
    kind: str = ""

    def __str__(self) -> str:
        """Return the name as it was given."""
        return f"{self.module}:{self.callable}" if self.callable else self.module

    def family(self) -> Family:
        """Import the module, and return its family; raise `UnusableError` if there is none."""
        try:
            module = importlib.import_module(self.module)
            if not self.callable:
                family = family_of(module)
                if not family.factories:
                    raise UnusableError(f"{self} has none of the seven kinds")
                return family
            target: Any = module
            for name in self.callable.split("."):
                target = getattr(target, name)
        except (ImportError, AttributeError, ValueError) as error:
            raise UnusableError(f"{self}: {error}") from None
        except Exception as error:
            raise UnusableError(
                f"{self} cannot be imported: {type(error).__name__}: {error}"
            ) from None
        if not callable(target):
            raise UnusableError(f"{self} cannot be called")
        return Family(str(self), {self.kind: target})


class Traits(NamedTuple):
    """What a new object of a kind shows: why it is unusable, what it lacks, its type's name."""

    unusable: str
    lacks: list[str]
    type: str
    has_state: bool


_NO_METHODS = {"__dict__", "__weakref__", "__module__"}


def traits(kind: str, family: Family) -> Traits:
    """Make an object and look at it."""
    if kind not in family.factories:
        return Traits(f"has no {kind}", [], "", False)
    try:
        thing = family.new(kind)
    except Exception as error:
        text = f"cannot make a {kind}: {type(error).__name__}: {error}"
        return Traits(text, [], "", False)
    missing = [name for name in ESSENTIAL[kind] if not callable(getattr(thing, name, None))]
    if missing:
        names = " and ".join(f"{name}()" for name in missing)
        text = (
            f"makes objects of type {type(thing).__name__}, which are no {kind}: they lack {names}"
        )
        return Traits(text, [], "", False)
    known = set(dir(INTERPRETER.new(kind))) - _NO_METHODS
    lacks = sorted(name for name in known if not _has(thing, name))
    full = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return Traits("", lacks, full, not state(kind, thing).startswith("unknown"))


def _has(thing: Any, name: str) -> bool:
    try:
        return hasattr(thing, name)
    except Exception:  # a property that raises is there
        return True


_NEEDS = {
    "with": ("__enter__", "__exit__"),
    "release in a thread": ("locked",),
}
"""Names that calls use beside those among their arguments."""


def needed(case: Case) -> set[str]:
    """Return the names that a case uses of objects under test, and words that are no names."""
    names: set[str] = set()
    own = {"self"}
    for step in case.steps:
        if step.call in CALLS:
            names |= {step.call, *_words([step.args, step.kwargs])}
        elif step.on in own:
            names |= {step.call, *_words(step.args)}
        if step.keep:
            own.add(step.keep)
        if step.call in ("goes through", "patched type"):
            names |= {label.partition("(")[0].partition(",")[0] for label in SCRIPTS[case.kind]}
    for call, more in _NEEDS.items():
        if call in names:
            names.update(more)
    return names


def _words(value: Any) -> Iterable[str]:
    """Yield the strings in JSON arguments; of ``"_cond._lock"`` the first name."""
    if isinstance(value, str):
        yield value.partition(".")[0]
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _words(part)
