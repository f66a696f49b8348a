"""A child that a thread has forked ends when its last thread does, also with a core loaded in it.

The C library ends a process with its last thread, and Go's threads never end: the child's function
had returned, and the process stayed (test_threading.ThreadJoinOnShutdown.
test_3_join_in_forked_from_thread). The child of such a child is no different.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Check = Callable[["subprocess.CompletedProcess[str]", str], None]

PROGRAM = """
    import os, sys, threading, warnings
    import golock

    warnings.simplefilter("ignore")
    deep, outlives = int(sys.argv[1]), sys.argv[2] == "outlives"

    def contend():
        event = golock.Event()
        threading.Thread(target=event.wait).start()
        waiting = golock.Condition()
        with waiting:
            waiting.wait(0.001)
        assert golock._golock.core()["loaded"]
        event.set()

    def work(deep):
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        elif deep > 1:
            work(deep - 1)
        elif outlives:
            threading.Thread(target=contend).start()
        else:
            contend()

    thread = threading.Thread(target=work, args=(deep,))
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize("last", ["the first thread", "outlives"])
@pytest.mark.parametrize("deep", [1, 2])
def test_child_of_a_thread_ends(deep: int, last: str, python: Python, check: Check) -> None:
    check(python(PROGRAM, str(deep), last, timeout=60), "0\n" * deep)
