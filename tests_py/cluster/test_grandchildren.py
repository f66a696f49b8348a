"""A process may close all descriptors, and fork then: a grandchild loads a library of its own."""

from __future__ import annotations

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

PROGRAM = """
import os, signal, sys
import golock.etcd

def use(generations):
    signal.alarm(30)
    with golock.etcd.Lock(f"of generation {generations}"):
        pass
    if generations:
        child = os.fork()
        if child == 0:
            if {closes}:  # what the parent had, as a daemon does
                os.closerange(3, 1000)
            use(generations - 1)
        else:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    mapped = {line.split()[4] for line in open("/proc/self/maps") if "golock-etcd" in line}
    print(len(mapped), flush=True)
    os._exit(0)

use(3)
"""


@pytest.mark.parametrize("closes", [False, True])
def test_generations(python, closes):
    done = python(PROGRAM.replace("{closes}", str(closes)))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3  # copies, one a fork
