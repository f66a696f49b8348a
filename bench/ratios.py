"""golock beside the interpreter's own, and beside the floor, in one process.

The comparison with the interpreter's makes the measures of ``python -m golock bench``. The floor is
a C type whose methods do nothing; build it first, or use run.py, which does.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import results
from floor._floor import Floor
from golock.bench import (
    FAMILY_OPERATIONS,
    OPERATIONS,
    Operation,
    Target,
    golock_family,
    measure_all,
    time_operation,
)

# The targets for golock's locks, in multiples of the floor.
FLOOR_LIMITS = {
    "acquire(); release()": 1.5,
    "with lock:": 1.15,
    "RLock: acquire(); release()": 1.5,
    "RLock: with lock:": 1.15,
}
FLOOR = {"allocate_lock": Floor, "threading": SimpleNamespace(RLock=Floor)}


def beside_the_floor(operation: Operation, *, fast: bool) -> dict[str, Any]:
    """Time `operation` with golock's names and with the floor's, by turns."""
    target = Target("ratio", "<=", FLOOR_LIMITS[operation.name])
    repeats, budget = (5, 0.01) if fast else (20, 0.05)
    measure = time_operation(
        replace(operation, target=target),
        vars(golock_family()),
        FLOOR,
        repeats,
        budget,
    )
    return {
        "name": measure.name,
        "golock": min(measure.golock),
        "floor": min(measure.interpreter),
        "ratio": measure.ratio,
        "limit": target.limit,
        "met": measure.met,
    }


def main() -> None:
    fast = results.parse_fast(__doc__)
    measures = [measure.as_json() for measure in measure_all(quick=fast)]
    floor = [
        beside_the_floor(operation, fast=fast)
        for operation in OPERATIONS + FAMILY_OPERATIONS
        if operation.name in FLOOR_LIMITS
    ]
    results.save("ratios", {"measures": measures, "floor": floor}, fast=fast)


if __name__ == "__main__":
    main()
