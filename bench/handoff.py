"""Rate and longest wait by hand-off threshold, from 0 to 5 ms, and the interpreter's."""

from __future__ import annotations

import statistics
from typing import Any

import golock
import results
from golock.bench import Contention, Workload, contend, interpreter_family

THRESHOLDS = (0.0, 0.2e-3, 0.5e-3, 1e-3, 2e-3, 5e-3)
WORKLOADS = (Workload(8, 20, 20), Workload(32, 20, 20))


def summarize(runs: list[Contention]) -> dict[str, float]:
    """Return the medians of several runs."""
    return {
        "rate": statistics.median(run.rate for run in runs),
        "longest_wait_ms": statistics.median(run.longest_wait for run in runs) * 1e3,
        "fairness": statistics.median(run.fairness for run in runs),
    }


def sweep(workload: Workload, repeats: int, seconds: float) -> dict[str, Any]:
    """Measure a workload at every threshold, and on the interpreter's lock."""
    original = interpreter_family().allocate_lock
    runs: dict[float, list[Contention]] = {threshold: [] for threshold in THRESHOLDS}
    beside: list[Contention] = []
    for _ in range(repeats):
        for threshold in THRESHOLDS:
            golock.set_handoff(threshold)
            runs[threshold].append(contend(golock.allocate_lock, workload, seconds))
        beside.append(contend(original, workload, seconds))
    return {
        "workload": str(workload),
        "golock": [
            {"handoff_ms": threshold * 1e3} | summarize(runs[threshold]) for threshold in THRESHOLDS
        ],
        "interpreter": summarize(beside),
    }


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, seconds = (1, 0.3) if fast else (3, 1.0)
    before = golock.get_handoff()
    try:
        sweeps = [sweep(workload, repeats, seconds) for workload in WORKLOADS]
    finally:
        golock.set_handoff(before)
    results.save("handoff", {"default_ms": before * 1e3, "sweeps": sweeps}, fast=fast)


if __name__ == "__main__":
    main()
