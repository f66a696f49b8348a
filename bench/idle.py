"""The cost of a wake in a mostly idle program: an item every 3 or 30 ms for a waiting thread.

The latency is the time from just before the item is given until the waiter is back in Python code
with it. Processor time and context switches are those of the whole process, including the giver's
sleep between two items.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import results
from golock.bench import Family, golock_family, interpreter_family

Clock = Callable[[], int]
# A function that gives an item, and one that waits for an item.
Channel = tuple[Callable[[], object], Callable[[], object]]


def queue(family: Family) -> Channel:
    items = family.queue.Queue()
    return lambda: items.put(None), items.get


def lock(family: Family) -> Channel:
    taken = family.allocate_lock()
    taken.acquire()
    return taken.release, taken.acquire


def semaphore(family: Family) -> Channel:
    permits = family.threading.Semaphore(0)
    return permits.release, permits.acquire


def condition(family: Family) -> Channel:
    changed = family.threading.Condition()
    items: list[None] = []

    def give() -> None:
        with changed:
            items.append(None)
            changed.notify()

    def take() -> None:
        with changed:
            while not items:
                changed.wait()
            items.pop()

    return give, take


CHANNELS = {"Queue": queue, "Lock": lock, "Semaphore": semaphore, "Condition": condition}


def used() -> tuple[float, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_nvcsw + usage.ru_nivcsw


def measure(channel: Channel, items: int, pause: float) -> dict[str, float]:
    """Give `items` with `pause` seconds between them; return the cost of each item."""
    give, take = channel
    given: list[int] = []
    taken: list[int] = []
    clock = time.perf_counter_ns

    def wait() -> None:
        for _ in range(items):
            take()
            taken.append(clock())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.01)
    processor, switches = used()
    for _ in range(items):
        time.sleep(pause)
        given.append(clock())
        give()
    thread.join()
    after, switched = used()
    latencies = [(end - start) / 1e3 for start, end in zip(given, taken, strict=True)]
    return {
        "p50": statistics.median(latencies),
        "p99": statistics.quantiles(latencies, n=100)[98],
        "processor": (after - processor) / items * 1e6,
        "switches": (switched - switches) / items,
    }


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats = 3 if fast else 5
    families = {"golock": golock_family(), "interpreter": interpreter_family()}
    figures: dict[str, Any] = {}
    for milliseconds, items in ((3, 300), (30, 60)):
        for name, make in CHANNELS.items():
            runs: dict[str, list[dict[str, float]]] = {family: [] for family in families}
            for _ in range(repeats):
                for family, names in families.items():
                    runs[family].append(measure(make(names), items, milliseconds / 1e3))
            figures[f"{name}, every {milliseconds} ms"] = {
                family: {
                    key: statistics.median(run[key] for run in of_family) for key in of_family[0]
                }
                for family, of_family in runs.items()
            }
    results.save("idle", {"wakes": figures}, fast=fast)


if __name__ == "__main__":
    main()
