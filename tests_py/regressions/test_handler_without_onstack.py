"""C signal handlers without SA_ONSTACK always run on their thread's own stack.

The core runs on goroutine stacks of a few KiB, and the Go runtime has signal stacks of 32 KiB. A
handler that uses 64 KiB would corrupt either.
"""

from __future__ import annotations

import pytest

PRELUDE = """
import ctypes, signal, sys, threading
import golock
library = ctypes.CDLL(sys.argv[1])
def load_core():
    lock = golock.allocate_lock()
    lock.acquire()
    lock.acquire(timeout=0.001)
    assert golock._golock.core()['loaded']
"""


@pytest.mark.parametrize("order", ["handler first", "core first"])
def test_handler_runs_on_the_stack_of_its_thread(python, check, compiled, order):
    result = python(
        PRELUDE
        + """
steps = [lambda: library.install(signal.SIGUSR1), load_core]
for step in steps if sys.argv[2] == 'handler first' else reversed(steps):
    step()
lock = golock.allocate_lock()
stop = False
def fight():
    library.become_target()
    while not stop:
        with lock:
            for _ in range(20):
                pass
fighters = [threading.Thread(target=fight) for _ in range(4)]
for fighter in fighters:
    fighter.start()
library.start_sending(signal.SIGUSR1, 20_000)
while library.count_handled() < 20_000:
    with lock:
        pass
library.stop_sending()
stop = True
for fighter in fighters:
    fighter.join()
print(library.count_astray(), library.is_as_installed(signal.SIGUSR1))
""",
        compiled("handler.c"),
        order,
    )
    check(result, "0 1\n")
