"""golock beside the running interpreter's own: ``python -m golock bench``.

Both are measured in one process and by turns, several times, so that other load affects both. For
single calls the minimum counts, because other load can only add to it. For several threads the
median counts: other load can also help, because a preempted thread breaks up the convoy in which
CPython's lock before 3.13.1 keeps its threads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from ._calls import FAMILY_OPERATIONS, OPERATIONS, Operation, time_operation
from ._contention import WORKLOADS, Contention, Workload, contend, jain, measure_contention
from ._exchange import EXCHANGES, Exchange, time_exchange
from ._family import (
    Allocate,
    Family,
    futures_over,
    golock_family,
    interpreter_family,
    queue_over,
)
from ._measure import Measure, Target
from ._report import describe_machine, print_table, table_rows

__all__ = [
    "EXCHANGES",
    "FAMILY_OPERATIONS",
    "OPERATIONS",
    "WORKLOADS",
    "Allocate",
    "Contention",
    "Exchange",
    "Family",
    "Measure",
    "Operation",
    "Target",
    "Workload",
    "contend",
    "describe_machine",
    "futures_over",
    "golock_family",
    "interpreter_family",
    "jain",
    "main",
    "measure_all",
    "queue_over",
    "table_rows",
    "time_exchange",
    "time_operation",
]


def measure_all(*, quick: bool = False) -> list[Measure]:
    """Return every measure, in the order of the table.

    Takes a minute and a half, or fifteen seconds if `quick`.
    """
    ours, theirs = golock_family(), interpreter_family()

    def calls(operations: Iterable[Operation]) -> list[Measure]:
        repeats, budget = (5, 0.01) if quick else (20, 0.05)
        return [
            time_operation(operation, vars(ours), vars(theirs), repeats, budget)
            for operation in operations
        ]

    def contention(workload: Workload) -> list[Measure]:
        repeats, seconds = (3, 0.3) if quick else (5, 1.0)
        locks = ours.allocate_lock, theirs.allocate_lock
        return measure_contention(workload, *locks, repeats, seconds)

    def exchange(exchange: Exchange) -> list[Measure]:
        repeats, rounds = (5, 300) if quick else (15, 2000)
        return time_exchange(exchange, ours, theirs, repeats, rounds)

    return [
        *calls(OPERATIONS),
        *(measure for workload in WORKLOADS for measure in contention(workload)),
        *calls(FAMILY_OPERATIONS),
        *(measure for each in EXCHANGES for measure in exchange(each)),
    ]


def main(argv: list[str]) -> int:
    """Measure, and print a table or JSON. Returns 0 whatever the figures are."""
    parser = argparse.ArgumentParser(
        prog="python -m golock bench",
        description="Measure golock beside the interpreter's own, in one process, by turns.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every run in it")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--targets", action="store_true", help="print golock's own targets too")
    options = parser.parse_args(argv)

    machine = describe_machine()
    measures = [measure.as_json() for measure in measure_all(quick=options.quick)]
    if options.json:
        print(json.dumps({"machine": machine, "quick": options.quick, "measures": measures}))
        return 0
    print(
        "{implementation} {python}, {system}, {processor}, {cpus} CPUs, load {load:.2f}\n"
        "n threads, a/b: a empty loop steps with the lock held, b without; ns: a thread, a call;\n"
        "µs, and switches of the processor: several threads, a round\n".format(**machine)
    )
    print_table(table_rows(measures, targets=options.targets))
    return 0
