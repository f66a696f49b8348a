"""A real etcd: Debian's, which ``make etcd`` gets, or the one that GOLOCK_ETCD names."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "build" / "etcd-server" / "usr" / "bin" / "etcd"


def free_address(host: str) -> str:
    """Return an address that no connection of a client gets."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind((host, random.randrange(10000, 30000)))
            except OSError:
                continue
            return "{}:{}".format(*probe.getsockname())


def is_ready(endpoint: str) -> bool:
    """Return whether etcd has a leader and answers."""
    try:
        with urllib.request.urlopen(f"http://{endpoint}/health", timeout=1) as answer:
            return b"true" in answer.read()
    except OSError:
        return False


@contextlib.contextmanager
def running_etcd(host: str = "127.0.0.1") -> Iterator[str]:
    """Start etcd and return its endpoint; its shortest lease is one of a second."""
    pytest.importorskip("golock_etcd", reason="golock-etcd is not installed: make etcd")
    program = os.environ.get("GOLOCK_ETCD") or shutil.which("etcd") or str(DEBIAN)
    if not Path(program).exists():
        pytest.skip("there is no etcd: make etcd")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    client, peer = free_address(host), free_address("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="golock-etcd-", dir=memory) as folder:
        with Path(folder, "log").open("w") as log:
            server = subprocess.Popen(
                [
                    program,
                    f"--data-dir={folder}/data",
                    f"--listen-client-urls=http://{client}",
                    f"--advertise-client-urls=http://{client}",
                    f"--listen-peer-urls=http://{peer}",
                    f"--initial-advertise-peer-urls=http://{peer}",
                    f"--initial-cluster=default=http://{peer}",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                ],
                env={**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: server.poll() is not None or is_ready(client), "etcd is ready")
            assert server.poll() is None, Path(folder, "log").read_text()
            yield client
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def start_etcd() -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Return a function that starts another server, on an address of this machine."""
    return running_etcd


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Return the endpoint of the server that the tests share."""
    with running_etcd() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def endpoint_with_users() -> Iterator[str]:
    """Return the endpoint of a server whose user "locker:open" may use the prefix "golock/"."""

    def ask(method: str, **fields: object) -> None:
        request = urllib.request.Request(
            f"http://{endpoint}/v3/auth/{method}", json.dumps(fields).encode()
        )
        urllib.request.urlopen(request, timeout=30).close()

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    with running_etcd() as endpoint:
        for user, password in (("root", "secret"), ("locker", "open")):
            ask("user/add", name=user, password=password)
            ask("role/add", name=user)
            ask("user/grant", user=user, role=user)
        permission = {
            "permType": "READWRITE",
            "key": encoded("golock/"),
            "range_end": encoded("golock0"),
        }
        ask("role/grant", name="locker", perm=permission)
        ask("enable")
        yield endpoint


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a lock that no other test uses."""
    return str(request.node.name)


@pytest.fixture(autouse=True)
def environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the endpoint that of etcdctl, and so the default."""
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", endpoint)
