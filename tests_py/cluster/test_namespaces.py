"""A waiter that sees other PIDs or times than the holder must not take it for dead."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

WAITER = """
import golock.etcd, sys
print(golock.etcd.Lock(sys.argv[1]).acquire(timeout=1))
"""


@pytest.mark.parametrize(
    "options", [["--time", "--boottime", "1000"], ["--pid"]], ids=["time", "pid"]
)
def test_waiter_in_another_namespace(name, options):
    unshare = [shutil.which("unshare") or "unshare", *options, "--fork"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("there are no namespaces here")
    with etcd.Lock(name, ttl=3600):
        waiter = subprocess.run(
            [*unshare, sys.executable, "-c", WAITER, name],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert waiter.stdout == "False\n"
