"""The cost of a call on golock's lock, the interpreter's, and the floor, by pyperf.

Takes pyperf's options, such as ``--fast`` and ``-o FILE``. Build the floor first, or use run.py,
which does.
"""

from __future__ import annotations

import pyperf  # type: ignore[import-untyped]

from golock.bench import OPERATIONS

SETUP = {
    "golock": "from golock import allocate_lock",
    "interpreter": "from golock.bench import interpreter_family; "
    "allocate_lock = interpreter_family().allocate_lock",
    "floor": "from floor._floor import Floor as allocate_lock",
}

# The floor's methods take no arguments.
ON_THE_FLOOR = ("acquire(); release()", "with lock:")


def main() -> None:
    runner = pyperf.Runner()
    for operation in OPERATIONS:
        for lock, setup in SETUP.items():
            if lock != "floor" or operation.name in ON_THE_FLOOR:
                runner.timeit(
                    f"{operation.name} [{lock}]",
                    operation.statement,
                    setup=f"{setup}; {operation.setup}",
                    duplicate=10,
                )


if __name__ == "__main__":
    main()
