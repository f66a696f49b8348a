"""The core keeps no file open.

The Go runtime keeps cgroup files open to reread its limits. Each generation of forked children
loads its own core, so these files added up.
"""

from __future__ import annotations

import os


def test_core_keeps_no_file_open(python, check):
    result = python(
        """
import os, sys
import golock
def descriptors():
    return len(os.listdir('/proc/self/fd'))
lock = golock.allocate_lock()
lock.acquire()
before = descriptors()
for generation in range(3):
    lock.acquire(timeout=0.001)
    print(golock._golock.core()['private_copies'], descriptors() - before)
    sys.stdout.flush()
    if generation < 2 and (pid := os.fork()):
        os.waitpid(pid, 0)
        break
""",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    check(result, "0 0\n1 0\n2 0\n")
