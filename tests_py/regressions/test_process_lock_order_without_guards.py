"""Where the kernel guards no life words, somebody must look, and waiters keep their places."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import golock
from golock.process import Lock
from waiting import FUTEX, wait_until

# From 3.12 on, os.fork() warns when the process has threads, the sentinel included.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

# Seconds. Waiters that looked for themselves would do it every 0.05 s, in another order.
BETWEEN_WAITERS = 0.03


def asleep(pid):
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == FUTEX


def order_of_waiters():
    lock = Lock()
    lock.acquire()
    order, writer = os.pipe()
    children = []
    for number in range(5):
        pid = os.fork()
        if pid == 0:
            with lock:
                os.write(writer, bytes([number]))
            os._exit(0)
        children.append(pid)
        wait_until(lambda: asleep(children[-1]), "the waiter sleeps")
        time.sleep(BETWEEN_WAITERS)
    lock.release()
    for pid in children:
        os.waitpid(pid, 0)
    return os.read(order, 5)


def test_waiters_are_served_in_order(monkeypatch, restored_handoff):
    monkeypatch.setenv("GOLOCK_SENTINEL", "0")
    golock.set_handoff(0)
    # A waiter that gets no processor for 0.1 s when it is woken may lose its turn.
    assert any(order_of_waiters() == bytes(range(5)) for _ in range(5))
