"""A real etcd: Debian's, which ``make etcd`` gets, or the one that GOLOCK_ETCD names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "build" / "etcd-server" / "usr" / "bin" / "etcd"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "{}:{}".format(*probe.getsockname())


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Start etcd and return its endpoint; its shortest lease is one of a second."""
    pytest.importorskip("golock_etcd", reason="golock-etcd is not installed: make etcd")
    program = os.environ.get("GOLOCK_ETCD") or shutil.which("etcd") or str(DEBIAN)
    if not Path(program).exists():
        pytest.skip("there is no etcd: make etcd")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    client, peer = free_address(), free_address()
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
            yield client
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a lock that no other test uses."""
    return str(request.node.name)


@pytest.fixture(autouse=True)
def environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the endpoint that of etcdctl, and so the default."""
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", endpoint)
