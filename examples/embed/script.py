"""The Python side of main.go, which sets `table` and the address `total_of_go` in this module."""

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

# Python does not replace a handler that a signal has, and Go has handlers for nearly all signals.
signal.signal(signal.SIGINT, signal.default_int_handler)

lock = golock.Lock()
# A forked child has no goroutines, and a lock that one of them held would never be released there.
# So the thread that forks takes the lock.
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
# From 3.12 on, os.fork() warns when the process has threads, and Go always has.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def count() -> None:
    for i in range(ROUNDS):
        with lock:
            table[i % len(table)] += 1
            if i % 100 == 0:
                time.sleep(0)  # lets another thread run and find the lock taken


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
    """Return how far it counts in its copy of the table, and whether it loads libgolock.so."""
    before = sum(table)
    count_in_threads()
    with lock:
        lock.acquire(timeout=0.001)  # a wait needs a core of the child's own
    return sum(table) - before, "libgolock" in Path("/proc/self/maps").read_text()


def count_in_children() -> None:
    with multiprocessing.get_context("fork").Pool(CHILDREN) as pool:
        print("children:", pool.map(count_in_child, range(CHILDREN)), flush=True)


def fork_and_return() -> None:
    """Fork a child that returns from here, as its parent does; python.go ends it."""
    if (child := os.fork()) != 0:
        _, status = os.waitpid(child, 0)
        print("child that returned:", os.waitstatus_to_exitcode(status), flush=True)


def ask_go() -> int:
    """Return the sum of the table, which Go computes with the lock, called with the GIL."""
    total = ctypes.PYFUNCTYPE(ctypes.c_int64)(globals()["total_of_go"])
    while (answer := total()) < 0:
        time.sleep(0)  # gives the GIL to the thread that has the lock
    return answer


def wait_for_goroutine() -> None:
    try:
        print("a goroutine has the lock: Enter frees it, Ctrl-C stops waiting", flush=True)
        with lock:
            print("freed", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
