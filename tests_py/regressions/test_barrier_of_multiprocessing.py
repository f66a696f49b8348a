"""multiprocessing.Barrier works when its module is imported while golock is installed.

It derives from threading.Barrier, uses its methods, and keeps its private fields in shared memory.
Derived from golock's barrier, which has no such fields, it failed with AttributeError.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Check = Callable[["subprocess.CompletedProcess[str]", str], None]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_barrier_of_multiprocessing(method: str, python: Python, check: Check) -> None:
    program = """
        import sys
        import golock
        golock.install()
        import multiprocessing, multiprocessing.synchronize, threading
        assert threading.Barrier is golock.Barrier
        assert issubclass(multiprocessing.synchronize.Barrier, golock.Barrier)
        context = multiprocessing.get_context(sys.argv[1])
        barrier = context.Barrier(2)
        child = context.Process(target=barrier.wait)
        child.start()
        print(barrier.parties, barrier.wait(30) in (0, 1), barrier.broken)
        child.join()
        barrier.abort()
        print(child.exitcode, barrier.broken, barrier.n_waiting)
        """
    check(python(program, method), "2 True False\n0 True 0\n")
