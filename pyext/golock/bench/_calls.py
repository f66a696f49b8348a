"""The cost of calls that never wait, in one thread."""

from __future__ import annotations

import timeit
from collections.abc import Mapping
from dataclasses import dataclass

from ._measure import Measure, Target


@dataclass(frozen=True)
class Operation:
    """A statement to time after its setup. Both use the names of a `Family`."""

    name: str
    setup: str
    statement: str
    target: Target


# bench/ratios.py also compares calls with the floor.
NOT_SLOWER = Target("ratio", "<=", 0.9)

OPERATIONS = (
    Operation(
        "acquire(); release()",
        "lock = allocate_lock()",
        "lock.acquire(); lock.release()",
        NOT_SLOWER,
    ),
    Operation(
        "with lock:",
        "lock = allocate_lock()",
        "with lock: pass",
        NOT_SLOWER,
    ),
    Operation(
        "acquire(False); release()",
        "lock = allocate_lock()",
        "lock.acquire(False); lock.release()",
        NOT_SLOWER,
    ),
    Operation(
        "acquire(timeout=1); release()",
        "lock = allocate_lock()",
        "lock.acquire(timeout=1); lock.release()",
        NOT_SLOWER,
    ),
    Operation(
        "allocate_lock()",
        "allocate = allocate_lock",
        "allocate()",
        NOT_SLOWER,
    ),
)

FAMILY_OPERATIONS = (
    Operation(
        "RLock: acquire(); release()",
        "lock = threading.RLock()",
        "lock.acquire(); lock.release()",
        NOT_SLOWER,
    ),
    Operation(
        "RLock: with lock:",
        "lock = threading.RLock()",
        "with lock: pass",
        NOT_SLOWER,
    ),
    Operation(
        "RLock: acquire() twice; release() twice",
        "lock = threading.RLock()",
        "lock.acquire(); lock.acquire(); lock.release(); lock.release()",
        NOT_SLOWER,
    ),
    Operation(
        "Semaphore: acquire(); release()",
        "semaphore = threading.Semaphore()",
        "semaphore.acquire(); semaphore.release()",
        NOT_SLOWER,
    ),
    Operation(
        "BoundedSemaphore: acquire(); release()",
        "semaphore = threading.BoundedSemaphore()",
        "semaphore.acquire(); semaphore.release()",
        NOT_SLOWER,
    ),
    Operation(
        "Event: set(); is_set(); clear()",
        "event = threading.Event()",
        "event.set(); event.is_set(); event.clear()",
        NOT_SLOWER,
    ),
    Operation(
        "Condition: acquire(); notify(); release()",
        "condition = threading.Condition()",
        "condition.acquire(); condition.notify(); condition.release()",
        NOT_SLOWER,
    ),
    Operation(
        "Queue: put(None); get()",
        "items = queue.Queue()",
        "items.put(None); items.get()",
        NOT_SLOWER,
    ),
)

_UNROLL = 10  # statements in each iteration of the timed loop, so that the loop hardly counts


def time_operation(
    operation: Operation,
    subject: Mapping[str, object],
    peer: Mapping[str, object],
    repeats: int,
    budget: float,
) -> Measure:
    """Measure `operation` in nanoseconds with the names of `subject` and of `peer`, by turns.

    Makes `repeats` runs of about `budget` seconds each.
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
