"""A process in a network of its own, which is cut off: its packets are lost, and nobody says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

HOLDER = """
import sys
import golock.etcd

lock = golock.etcd.Lock("shared", ttl=1, patience=30, endpoints=sys.argv[1])
lock.acquire()
token = lock.token
print("has it", lock.lost, flush=True)
sys.stdin.readline()
print("lost", lock.lost, flush=True)
another = golock.etcd.Lock("another", patience=0.5, endpoints=sys.argv[1])
print(another.acquire(timeout=0.1))
try:
    another.holder()
except golock.etcd.EtcdError as error:
    print(error)
try:
    lock.release()
except golock.LockLost:
    print("LockLost", flush=True)
sys.stdin.readline()
lock.acquire()
print("has it", lock.token > token, flush=True)
lock.release()
"""


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def network():
    """Make a namespace behind a cable, and return its name, the cable, and this side's address."""
    if shutil.which("ip") is None:
        pytest.skip("there is no ip (iproute2)")
    name, cable, other = (f"golock{kind}{os.getpid()}"[:15] for kind in ("n", "a", "b"))
    subnet = f"10.203.{os.getpid() % 250}"
    steps = [
        ("netns", "add", name),
        ("link", "add", cable, "type", "veth", "peer", "name", other, "netns", name),
        ("addr", "add", f"{subnet}.1/24", "dev", cable),
        ("link", "set", cable, "up"),
        ("-n", name, "addr", "add", f"{subnet}.2/24", "dev", other),
        ("-n", name, "link", "set", other, "up"),
        ("-n", name, "link", "set", "lo", "up"),
    ]
    try:
        for step in steps:
            done = ip(*step)
            if done.returncode != 0:
                pytest.skip(f"ip {' '.join(step)}: {done.stderr.strip()}")
        yield name, cable, f"{subnet}.1"
    finally:
        ip("link", "del", cable)
        ip("netns", "del", name)


def test_holder_that_is_cut_off(request, network, start_etcd):
    namespace, cable, host = network
    with start_etcd(host) as endpoint:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", HOLDER, endpoint]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        request.addfinalizer(holder.kill)

        def go_on():
            holder.stdin.write("\n")
            holder.stdin.flush()

        assert holder.stdout.readline() == "has it False\n"
        assert ip("link", "set", cable, "down").returncode == 0
        rival = etcd.Lock("shared", endpoints=endpoint)
        assert rival.acquire(timeout=60)
        go_on()
        assert holder.stdout.readline() == "lost True\n"
        assert holder.stdout.readline() == "False\n"
        assert endpoint in holder.stdout.readline()
        assert holder.stdout.readline() == "LockLost\n"
        assert not rival.lost
        assert ip("link", "set", cable, "up").returncode == 0
        rival.release()
        go_on()
        assert holder.stdout.readline() == "has it True\n"
        holder.communicate()
