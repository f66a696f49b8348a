"""Loads the library of main.go, and finds where it has to look in an object of golock's.

For the programs of test_view_from_go.py: the first argument is the library's path, the second
whether golock's own core is to be loaded before.
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
go_with_gil = ctypes.PyDLL(sys.argv[1])  # does not
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

# There is no public address yet, so it is looked for: where the memory changes with the state.


def words(thing: object) -> list[int]:
    size = type(thing).__basicsize__ // 4 * 4
    return list((ctypes.c_uint32 * (size // 4)).from_address(id(thing)))


def offset_in_events() -> int:
    event = golock.Event()
    states = []
    for change in (event.clear, event.set, event.clear, event.set):
        change()
        states.append(words(event))
    (index,) = (
        i
        for i, column in enumerate(zip(*states, strict=True))
        if [w & 1 for w in column] == [0, 1] * 2
    )
    return 4 * index


def offset_in_semaphores() -> int:
    semaphore = golock.Semaphore(77)
    states = []
    for change in (semaphore.acquire, semaphore.acquire, semaphore.release):
        change()
        states.append(words(semaphore))
    (index,) = (i for i, column in enumerate(zip(*states, strict=True)) if column == (76, 75, 76))
    return 4 * index // 8 * 8  # the permits are one half of it


EVENT, SEMAPHORE = offset_in_events(), offset_in_semaphores()


def event_address(event: golock.Event) -> int:
    return id(event) + EVENT


def semaphore_address(semaphore: golock.Semaphore) -> int:
    return id(semaphore) + SEMAPHORE


FUTEX = {"x86_64": "202", "aarch64": "98"}[platform.machine()]


def asleep(address: int) -> int:
    """Return how many threads sleep in the kernel on the word at the address."""
    count = 0
    for task in Path("/proc/self/task").glob("*/syscall"):
        try:
            count += task.read_text().split()[:2] == [FUTEX, hex(address)]
        except OSError:  # the thread has ended
            continue
    return count


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.0001)


def in_threads(
    count: int, call: Callable[..., object], *arguments: object
) -> Callable[[], list[object]]:
    """Call in so many threads at once; return what waits for them and returns their results."""
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
