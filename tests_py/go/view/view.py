"""Loads the library of main.go.

For the programs of test_view_from_go.py. The first argument is the library's path, the second
whether to load golock's own core first.
"""

from __future__ import annotations

import ctypes
import faulthandler
import platform
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import golock

FOREVER = 1e9  # seconds, for Go

faulthandler.dump_traceback_later(100, exit=True)

go = ctypes.CDLL(sys.argv[1])  # releases the GIL for each call
go_with_gil = ctypes.PyDLL(sys.argv[1])  # keeps it
pointer, number, seconds = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
for library in go, go_with_gil:
    for name, arguments, result in (
        ("EventSet", [pointer], None),
        ("EventClear", [pointer], None),
        ("EventIsSet", [pointer], ctypes.c_bool),
        ("EventWait", [pointer, number, seconds], number),
        ("SemaphoreRelease", [pointer, ctypes.c_uint], None),
        ("SemaphorePermits", [pointer], ctypes.c_uint),
        ("SemaphoreAcquire", [pointer, number, seconds], number),
        ("PassOn", [pointer, pointer, number], None),
        ("CountExclusively", [pointer, pointer, number, number], None),
        ("Waiting", [], number),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result

FUTEX = {"x86_64": "202", "aarch64": "98"}[platform.machine()]


def address(primitive: golock.Semaphore | golock.Event) -> int:
    return golock.shared(primitive).address


def asleep(address: int) -> int:
    """Return how many threads sleep in the kernel on the word behind the header at ``address``."""
    word = hex(address + 8)
    count = 0
    for task in Path("/proc/self/task").glob("*/syscall"):
        try:
            count += task.read_text().split()[:2] == [FUTEX, word]
        except OSError:  # the thread has ended
            continue
    return count


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.0001)


def in_threads(
    count: int, call: Callable[..., object], *arguments: object
) -> Callable[[], list[object]]:
    """Call in ``count`` threads at once; return a function that waits for the results."""
    pool = ThreadPoolExecutor(count)
    futures = [pool.submit(call, *arguments) for _ in range(count)]

    def results() -> list[object]:
        with pool:
            return [future.result() for future in futures]

    return results


if sys.argv[2] == "True":
    lock = golock.allocate_lock()
    lock.acquire()
    assert not lock.acquire(timeout=0.001)
    assert golock._golock.core()["loaded"]
    del lock
assert threading.active_count() == 1
