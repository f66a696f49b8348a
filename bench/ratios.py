"""golock beside the interpreter's lock, and beside the floor, in one process.

The first are the measures of ``python -m golock bench``. The floor is a C type whose methods do
nothing; build it first, or use run.py, which does.
"""

from __future__ import annotations

from typing import Any

import results
from floor._floor import Floor
from golock.bench import OPERATIONS, Operation, Target, measure_all, time_operation

# The most that golock's lock may cost, in times the floor.
FLOOR_LIMITS = {"acquire(); release()": 1.5, "with lock:": 1.15}


def beside_the_floor(operation: Operation, *, fast: bool) -> dict[str, Any]:
    """Time `operation` on golock's lock and on the floor by turns."""
    target = Target("ratio", "<=", FLOOR_LIMITS[operation.name])
    allowed = Operation(operation.name, operation.statement, target)
    measure = time_operation(allowed, Floor, 5 if fast else 20, 0.01 if fast else 0.05)
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
        for operation in OPERATIONS
        if operation.name in FLOOR_LIMITS
    ]
    results.save("ratios", {"measures": measures, "floor": floor}, fast=fast)


if __name__ == "__main__":
    main()
