"""What happens to locks that a program holds when it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slow_proxy import SlowProxy

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

HOUR = 3600


def program(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys, golock.etcd\n{code}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_end_is_no_loss(name):
    """on_lost, which may end the program with an error, is not called."""
    code = """lock = golock.etcd.Lock(sys.argv[1], on_lost=lambda lock: print('lost'))
lock.acquire()
"""
    holder = program(code, name)
    output, _ = holder.communicate(timeout=30)
    assert (holder.returncode, output) == (0, "")
    with etcd.Lock(name):
        pass


def test_connections_to_a_silent_server_are_closed_at_once(name, endpoint):
    """Each may take a second, and there are 40."""
    code = """for ttl in range(40):
        golock.etcd.Lock(f"{sys.argv[1]} {ttl}", ttl=60 + ttl, endpoints=sys.argv[2]).acquire()
print("has them", flush=True)
sys.stdin.readline()
"""
    proxy = SlowProxy(endpoint, 0)
    holder = program(code, name, proxy.address)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has them\n"
    proxy._delay = HOUR
    output, _ = holder.communicate("\n", timeout=20)
    assert (holder.returncode, output) == (0, "")
    proxy.close()
