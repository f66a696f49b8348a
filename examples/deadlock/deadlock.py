"""Three threads and a goroutine wait for each other in a circle; golock.sight finds and ends it.

Run it with the library that ``auditor.go`` describes::

    python examples/deadlock/deadlock.py auditor.so
"""

from __future__ import annotations

import ctypes
import sys
import threading

import golock
import golock.sight

NAMES = ("orders", "stock", "accounts", "journal")


def book(first: golock.Lock, second: golock.Lock, ready: threading.Barrier) -> None:
    """Take both locks, each thread in an order of its own."""
    try:
        with first:
            ready.wait()
            with second:
                pass
    except golock.DeadlockError as error:
        print(f"{threading.current_thread().name} gives up: {error}", flush=True)


def main(library: str) -> None:
    auditor = ctypes.CDLL(library)
    auditor.Core.restype = ctypes.c_size_t
    auditor.Audit.argtypes = [ctypes.c_size_t] * 3
    golock.use_core(auditor.Core())
    golock.sight.start("owners", on_deadlock="raise")

    orders, stock, accounts, journal = locks = [golock.Lock() for _ in NAMES]
    for lock, name in zip(locks, NAMES, strict=True):
        golock.sight.name(lock, name)
    proceed = golock.Event()
    ready = threading.Barrier(3, proceed.set)
    with (
        golock.shared(journal) as held,
        golock.shared(orders) as wanted,
        golock.shared(proceed) as event,
    ):
        if not auditor.Audit(held, wanted, event):
            raise SystemExit("the goroutine could not be started")
        pairs = {
            "seller": (orders, stock),
            "packer": (stock, accounts),
            "clerk": (accounts, journal),
        }
        threads = [
            threading.Thread(target=book, args=(*pair, ready), name=name)
            for name, pair in pairs.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with journal, orders:  # the goroutine has ended
            print("All locks are free again.")


if __name__ == "__main__":
    main(sys.argv[1])
