"""The Python side of main.go, which puts the `table` and the address `total_of_go` in here."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import golock

THREADS = 4
ROUNDS = 5_000
CHILDREN = 2

table: memoryview = globals()["table"].cast("q")

# Python leaves a signal alone that has a handler, and Go has handlers for nearly all.
signal.signal(signal.SIGINT, signal.default_int_handler)

lock = golock.Lock()
# A forked child has no goroutines, so what one of them holds is never released there. That is
# why the thread that forks takes it.
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
# From 3.12 on, os.fork() warns when the process has threads, and Go always has.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def count() -> None:
    for i in range(ROUNDS):
        with lock:
            table[i % len(table)] += 1
            if i % 100 == 0:
                time.sleep(0)  # lets another thread have the GIL, and find the lock taken


def count_in_threads(meanwhile: Callable[[], object] = lambda: None) -> None:
    threads = [threading.Thread(target=count) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meanwhile()
        threads[0].join(0.001)
    for thread in threads:
        thread.join()


def count_in_child(_: int) -> tuple[int, bool]:
    """Return how far it counts in its copy of the table, and whether it has a libgolock.so."""
    before = sum(table)
    count_in_threads()
    with lock:
        lock.acquire(timeout=0.001)  # to wait, a thread of the child needs a core that lives there
    return sum(table) - before, "libgolock" in Path("/proc/self/maps").read_text()


def count_in_children() -> None:
    with multiprocessing.get_context("fork").Pool(CHILDREN) as pool:
        print("children:", pool.map(count_in_child, range(CHILDREN)), flush=True)


def fork_and_return() -> None:
    """Fork a child that goes on as its parent does, until python.go ends it."""
    if (child := os.fork()) != 0:
        _, status = os.waitpid(child, 0)
        print("child that returned:", os.waitstatus_to_exitcode(status), flush=True)


def ask_go() -> int:
    """Return what the table sums up to: Go takes the lock for that, here with the GIL."""
    total = ctypes.PYFUNCTYPE(ctypes.c_int64)(globals()["total_of_go"])
    while (answer := total()) < 0:
        time.sleep(0)  # the GIL is for the thread that has the lock
    return answer


def wait_for_goroutine() -> None:
    try:
        print("a goroutine has the lock: Enter frees it, Ctrl-C stops waiting", flush=True)
        with lock:
            print("freed", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
