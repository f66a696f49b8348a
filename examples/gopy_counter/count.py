"""Goroutines count words; Python threads feed them and fold plurals, under one lock."""

from __future__ import annotations

import gc
import threading

from gopy_counter import counter

import golock

# gopy's modules make Python's garbage collector wait for Go's. A forked child has no threads of Go,
# so it would wait for ever. Go collects its garbage without being asked.
gc.callbacks[:] = [
    callback
    for callback in gc.callbacks
    if not getattr(callback, "__module__", "").startswith("gopy_counter.")
]

# The library has a Go runtime, so golock need not load another.
golock.use_core(counter.Core())

TEXT = "a goroutine and a thread take locks or a lock while goroutines wait and threads wait"
FEEDERS, TEXTS = 4, 500


def fold(lock: golock.LockType, table: counter.Table, plural: str) -> None:
    """Count a plural as its singular. No other thread uses the table between the calls."""
    with lock:
        singular = plural.removesuffix("s")
        table.Set(singular, table.Get(singular) + table.Get(plural))
        table.Set(plural, 0)


def main() -> None:
    lock = golock.Lock()
    plurals = ["goroutines", "locks", "threads"]
    fed = threading.Event()

    def feed() -> None:
        for _ in range(TEXTS):
            table.Count(TEXT)

    def fold_until_fed(plural: str) -> None:
        while not fed.is_set():
            fold(lock, table, plural)

    with golock.shared(lock) as address:  # keeps the lock alive while Go uses it
        table = counter.NewTable(address, 4)
        feeders = [threading.Thread(target=feed) for _ in range(FEEDERS)]
        folders = [threading.Thread(target=fold_until_fed, args=(plural,)) for plural in plurals]
        for thread in feeders + folders:
            thread.start()
        for thread in feeders:
            thread.join()
        fed.set()
        for thread in folders:
            thread.join()
        table.Close(60)

    for plural in plurals:
        fold(lock, table, plural)
    for word in ("goroutine", "lock", "thread", "wait"):
        print(word, table.Get(word))
    print("words:", table.Len())


if __name__ == "__main__":
    main()
