"""Start threads in a test, and wait for what they do."""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

# The number of the system call, which is the kernel's own below an emulator.
KERNEL = os.environ.get("KERNEL_MACHINE", platform.machine())
FUTEX = {"x86_64": "202", "aarch64": "98"}[KERNEL]
FUTEX_WAIT_BITSET = 9  # without FUTEX_PRIVATE_FLAG


def start(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def wait_until(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.0005)


def _system_call(thread):
    try:
        return Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()
    except OSError:  # the thread has ended
        return ["none"]


def asleep_in_kernel(thread):
    """Return whether the thread sleeps in a futex call, which may be for the GIL."""
    return _system_call(thread)[0] == FUTEX


def times_slept(thread):
    """Return the number of the thread's voluntary context switches."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("voluntary_ctxt_switches:")[2].split()[0])


def asleep_for_ever(thread):
    """Return whether it sleeps in a futex call without a timeout, so not for the GIL."""
    call = _system_call(thread)
    return call[0] == FUTEX and int(call[4], 16) == 0


def asleep_on_shared_word(thread):
    """Return whether the thread sleeps on a word that processes share, so not for the GIL."""
    call = _system_call(thread)
    return call[0] == FUTEX and int(call[2], 16) == FUTEX_WAIT_BITSET


def asleep_on(primitive, thread):
    """Return whether the thread sleeps on the word of a lock or semaphore."""
    call = _system_call(thread)
    size = primitive.__sizeof__()
    return call[0] == FUTEX and 0 <= int(call[1], 16) - id(primitive) < size


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def waiters(condition):
    """Return how many threads wait at a condition, without opening it."""
    return int(repr(condition).rstrip(")>").rpartition(" ")[2])
