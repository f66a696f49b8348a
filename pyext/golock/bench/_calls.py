"""What a call costs that never waits: one thread, nobody else about."""

from __future__ import annotations

import timeit
from collections.abc import Mapping
from dataclasses import dataclass

from ._measure import Measure, Target, ratio_at_most


@dataclass(frozen=True)
class Operation:
    """A statement timed after its setup, both of which find the names of a `Family`."""

    name: str
    setup: str
    statement: str
    target: Target


OPERATIONS = (
    Operation(
        "acquire(); release()",
        "lock = allocate_lock()",
        "lock.acquire(); lock.release()",
        ratio_at_most(0.35, 0.85),
    ),
    Operation(
        "with lock:",
        "lock = allocate_lock()",
        "with lock: pass",
        ratio_at_most(0.65, 0.8),
    ),
    Operation(
        "acquire(False); release()",
        "lock = allocate_lock()",
        "lock.acquire(False); lock.release()",
        ratio_at_most(0.3, 0.8),
    ),
    Operation(
        "acquire(timeout=1); release()",
        "lock = allocate_lock()",
        "lock.acquire(timeout=1); lock.release()",
        ratio_at_most(0.25, 0.5),
    ),
    Operation(
        "allocate_lock()",
        "allocate = allocate_lock",
        "allocate()",
        ratio_at_most(0.8, 0.9),
    ),
)

FAMILY_OPERATIONS = (
    Operation(
        "RLock: acquire(); release()",
        "lock = threading.RLock()",
        "lock.acquire(); lock.release()",
        ratio_at_most(0.45, 0.9),
    ),
    Operation(
        "RLock: with lock:",
        "lock = threading.RLock()",
        "with lock: pass",
        ratio_at_most(0.45, 0.9),
    ),
    Operation(
        "RLock: acquire() twice; release() twice",
        "lock = threading.RLock()",
        "lock.acquire(); lock.acquire(); lock.release(); lock.release()",
        ratio_at_most(0.45, 0.9),
    ),
    Operation(
        "Semaphore: acquire(); release()",
        "semaphore = threading.Semaphore()",
        "semaphore.acquire(); semaphore.release()",
        ratio_at_most(0.05, 0.12),
    ),
    Operation(
        "BoundedSemaphore: acquire(); release()",
        "semaphore = threading.BoundedSemaphore()",
        "semaphore.acquire(); semaphore.release()",
        ratio_at_most(0.05, 0.12),
    ),
    Operation(
        "Event: set(); is_set(); clear()",
        "event = threading.Event()",
        "event.set(); event.is_set(); event.clear()",
        ratio_at_most(0.06, 0.15),
    ),
    Operation(
        "Condition: acquire(); notify(); release()",
        "condition = threading.Condition()",
        "condition.acquire(); condition.notify(); condition.release()",
        ratio_at_most(0.3, 0.6),
    ),
    Operation(
        "Queue: put(None); get()",
        "items = queue.Queue()",
        "items.put(None); items.get()",
        ratio_at_most(0.5, 0.8),
    ),
)

_UNROLL = 10  # statements in one turn of the timed loop, so that the loop itself hardly counts


def time_operation(
    operation: Operation,
    subject: Mapping[str, object],
    peer: Mapping[str, object],
    repeats: int,
    budget: float,
) -> Measure:
    """Nanoseconds of `operation` with the names of `subject` and with those of `peer`, by turns.

    From `repeats` runs of about `budget` seconds each.
    """
    timers = [
        timeit.Timer("\n".join([operation.statement] * _UNROLL), operation.setup, globals={**names})
        for names in (subject, peer)
    ]
    probe = 1000
    slowest = max(min(timer.timeit(probe) for _ in range(3)) for timer in timers)
    turns = max(1, int(probe * budget / slowest))
    runs = [
        tuple(timer.timeit(turns) / (turns * _UNROLL) * 1e9 for timer in timers)
        for _ in range(repeats)
    ]
    ours, theirs = zip(*runs, strict=True)
    return Measure(operation.name, "ns", min, ours, theirs, operation.target)
