"""The share of each side when Python threads and goroutines fight for one lock.

A turn lasts from one side's first acquire after the other side's, until the other side acquires
again. A side's share is the sum of its turns. The figures also have each side's share of the
acquires, and its rate relative to that of the same threads or goroutines alone with the lock.
"""

from __future__ import annotations

import ctypes
import statistics
import threading
import time

from gopy_counter import counter, peer  # type: ignore[import-untyped]

import golock
import results

THREADS, GOROUTINES = 4, 4
STEPS = {"empty loops": (0, 0), "20 steps of Python, 200 of Go": (20, 200)}


class Turns(ctypes.Structure):
    _fields_ = (
        ("side", ctypes.c_int64),
        ("since", ctypes.c_int64),
        ("elapsed", ctypes.c_int64 * 2),
    )


def contest(
    threads: int, goroutines: int, steps: tuple[int, int], seconds: float
) -> tuple[float, float, float]:
    """Return both sides' acquires a second, and the threads' share of the time."""
    lock, turns, over = golock.Lock(), Turns(), False
    taken = [0] * threads
    steps_of_python, steps_of_go = steps

    def fight(me: int) -> None:
        n = 0
        loop = range(steps_of_python)
        while not over:
            with lock:
                if turns.side != 0:
                    now = time.monotonic_ns()
                    turns.elapsed[1] += now - turns.since
                    turns.side, turns.since = 0, now
                for _ in loop:
                    pass
            for _ in loop:
                pass
            n += 1
        taken[me] = n

    with golock.shared(lock) as address:
        turns.since = began = time.monotonic_ns()
        fighters = [threading.Thread(target=fight, args=(me,)) for me in range(threads)]
        for fighter in fighters:
            fighter.start()
        goroutine_side = peer.NewContest(address, ctypes.addressof(turns), goroutines, steps_of_go)
        time.sleep(seconds)
        over = True
        taken_by_go = goroutine_side.Stop()
        elapsed = (time.monotonic_ns() - began) / 1e9
        for fighter in fighters:
            fighter.join()
    both = sum(turns.elapsed)
    return sum(taken) / elapsed, taken_by_go / elapsed, turns.elapsed[0] / both if both else 0


def both_sides(of_threads: list[float]) -> dict[str, float]:
    """Return the median share of the threads, and the rest."""
    median = statistics.median(of_threads)
    return {"threads": median, "goroutines": 1 - median}


def main() -> None:
    fast = results.parse_fast(__doc__)
    repeats, seconds = (1, 0.2) if fast else (7, 1.0)
    golock.use_core(counter.Core())
    figures = {}
    for name, steps in STEPS.items():
        share, acquires, of_threads, of_goroutines = [], [], [], []
        for _ in range(repeats):
            threads_alone, _, _ = contest(THREADS, 0, steps, seconds)
            _, goroutines_alone, _ = contest(0, GOROUTINES, steps, seconds)
            threads, goroutines, threads_share = contest(THREADS, GOROUTINES, steps, seconds)
            share.append(threads_share)
            acquires.append(threads / (threads + goroutines))
            of_threads.append(threads / threads_alone)
            of_goroutines.append(goroutines / goroutines_alone)
        figures[name] = {
            "share": both_sides(share),
            "acquires": both_sides(acquires),
            "of_alone": {
                "threads": statistics.median(of_threads),
                "goroutines": statistics.median(of_goroutines),
            },
        }
    results.save("sides", {"contests": figures}, fast=fast)


if __name__ == "__main__":
    main()
