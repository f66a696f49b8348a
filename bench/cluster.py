"""golock.etcd.Lock beside other locks for several processes, on real servers of this machine.

    make etcd
    tests_py/debian.sh build/redis redis-server redis-tools libjemalloc2 liblzf1
    python -m pip install -r bench/requirements-cluster.txt
    python bench/cluster.py

The servers keep their data in memory (/dev/shm), so that a transaction does not wait for a disk.

"One transaction" is the put of a value, by itself, from a Go program that does nothing else, with
etcd's own client. It is measured several times, in turn with Python's acquire.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ETCD = ROOT / "build" / "etcd-server" / "usr" / "bin" / "etcd"
REDIS = ROOT / "build" / "redis" / "usr" / "bin" / "redis-server"
TTL = 3
RATE_SECONDS = 3.0

Call = Callable[[float], Any]


def golock(address: str, name: str) -> tuple[Call, Callable[[], object]]:
    module: Any = importlib.import_module("golock.etcd")
    lock = module.Lock(name, ttl=TTL, endpoints=address)
    return lambda timeout: lock.acquire(timeout=timeout), lock.release


def etcd3(address: str, name: str) -> tuple[Call, Callable[[], object]]:
    etcd3: Any = importlib.import_module("etcd3")

    host, port = address.split(":")
    lock = etcd3.client(host, int(port)).lock(name, ttl=TTL)
    return lambda timeout: lock.acquire(timeout=timeout), lock.release


def redis(address: str, name: str) -> tuple[Call, Callable[[], object]]:
    redis: Any = importlib.import_module("redis")

    host, port = address.split(":")
    lock = redis.Redis(host, int(port)).lock(name, timeout=TTL)
    return lambda timeout: lock.acquire(blocking_timeout=timeout), lock.release


def tooz(address: str, name: str) -> tuple[Call, Callable[[], object]]:
    coordination: Any = importlib.import_module("tooz.coordination")

    url = f"redis://{address}?lock_timeout={TTL}"
    coordinator = coordination.get_coordinator(url, str(os.getpid()).encode())
    coordinator.start()
    lock = coordinator.get_lock(name.encode())
    return lambda timeout: lock.acquire(blocking=timeout), lock.release


def filelock(address: str, name: str) -> tuple[Call, Callable[[], object]]:
    filelock: Any = importlib.import_module("filelock")

    lock = filelock.FileLock(f"/dev/shm/{name}-{address.replace(':', '-')}.lock")

    def acquire(timeout: float) -> bool:
        try:
            lock.acquire(timeout=timeout)
        except filelock.Timeout:
            return False
        return True

    return acquire, lock.release


KINDS = {
    "golock.etcd": (golock, "etcd"),
    "python-etcd3": (etcd3, "etcd"),
    "redis-py": (redis, "redis"),
    "tooz, redis": (tooz, "redis"),
    "filelock": (filelock, "etcd"),  # needs no server
}


# What a worker, a process of its own, does; it prints one JSON document at the end.


def uncontended(acquire: Call, release: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(20):  # until the connections stand
        acquire(60)
        release()
    for _ in range(300):
        began = time.perf_counter()
        acquire(60)
        found.append(time.perf_counter() - began)
        release()
    return found


def turns(acquire: Call, release: Callable[[], object]) -> list[tuple[float, float]]:
    """Hold the lock for a while, again and again, while another worker does the same."""
    found = []
    for _ in range(25):
        acquire(60)
        got = time.monotonic()
        time.sleep(0.02)
        found.append((got, time.monotonic()))
        release()
    return found


def loop(acquire: Call, release: Callable[[], object]) -> int:
    acquire(60)
    release()
    print("ready", flush=True)
    sys.stdin.readline()
    count, ends = 0, time.monotonic() + RATE_SECONDS
    while time.monotonic() < ends:
        acquire(60)
        count += 1
        release()
    return count


def hold(acquire: Call, release: Callable[[], object]) -> None:
    acquire(60)
    print("has it", flush=True)
    time.sleep(3600)


def take(acquire: Call, release: Callable[[], object]) -> float:
    print("waits", flush=True)
    acquire(60)
    got = time.monotonic()
    release()
    return got


def give_up(acquire: Call, release: Callable[[], object]) -> float:
    """Return how late the answer of an acquire is whose server does not answer."""
    acquire(60)
    release()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    with contextlib.suppress(Exception):
        acquire(0.5)
    return time.monotonic() - began - 0.5


WORK: dict[str, Callable[[Call, Callable[[], object]], Any]] = {
    each.__name__: each for each in (uncontended, turns, loop, hold, take, give_up)
}


class Worker:
    def __init__(self, kind: str, work: str, address: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", kind, work, address, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self, timeout: float = 120) -> Any:
        output, errors = self.process.communicate(timeout=timeout)
        if self.process.returncode != 0:
            raise SystemExit(errors)
        return json.loads(output.splitlines()[-1])


def measure(kind: str, address: str, server: subprocess.Popen[bytes]) -> dict[str, float | None]:
    """Return the figures of one kind of lock."""
    found: dict[str, float | None] = {}
    pairs = Worker(kind, "uncontended", address, "alone").result()
    found["acquire, µs"] = statistics.median(pairs) * 1e6

    both = [Worker(kind, "turns", address, "turns") for _ in range(2)]
    spans = sorted((*span, i) for i, each in enumerate(both) for span in each.result())
    gaps = [b[0] - a[1] for a, b in zip(spans, spans[1:]) if a[2] != b[2]]  # noqa: B905, RUF007
    found["hand-over, µs"] = statistics.median(gaps) * 1e6 if gaps else None

    found["acquires/s, 4 processes"] = four_processes(kind, address)

    holder = Worker(kind, "hold", address, "killed")
    holder.line()
    waiter = Worker(kind, "take", address, "killed")
    waiter.line()
    time.sleep(0.5)
    killed = time.monotonic()
    holder.process.kill()
    found["after kill -9, ms"] = (waiter.result() - killed) * 1e3

    late = Worker(kind, "give_up", address, "late")
    late.line()
    server.send_signal(signal.SIGSTOP)
    late.go_on()
    try:
        found["cut off, later than timeout=0.5, ms"] = late.result(20) * 1e3
    except subprocess.TimeoutExpired:
        late.process.kill()
        found["cut off, later than timeout=0.5, ms"] = None
    server.send_signal(signal.SIGCONT)
    return found


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "{}:{}".format(*probe.getsockname())


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def servers(*, redis: bool) -> Iterator[dict[str, tuple[str, subprocess.Popen[bytes]]]]:
    client, peer, redis_address = free_address(), free_address(), free_address()
    with tempfile.TemporaryDirectory(prefix="golock-", dir="/dev/shm") as folder:
        etcd_command = [
            str(ETCD),
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls=http://{client}",
            f"--advertise-client-urls=http://{client}",
            f"--listen-peer-urls=http://{peer}",
            f"--initial-advertise-peer-urls=http://{peer}",
            f"--initial-cluster=default=http://{peer}",
        ]
        redis_command = [str(REDIS), "--port", redis_address.split(":")[1], "--dir", folder]
        running = {"etcd": (client, start(etcd_command))}
        if redis:
            running["redis"] = (redis_address, start(redis_command))
        time.sleep(3)
        try:
            yield running
        finally:
            for _, process in running.values():
                process.kill()
                process.wait()


REPEATS = 7


def go_repeated(program: str, address: str) -> dict[str, float]:
    done = subprocess.run(
        [program, "-test.v", "-test.run", "TestRepeatedFigures"],
        env={**os.environ, "GOLOCK_ENDPOINT": address},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("{"))
    figures: dict[str, float] = json.loads(line)
    return figures


def four_processes(kind: str, address: str) -> float:
    """Return how often four processes take one lock in a second."""
    four = [Worker(kind, "loop", address, "four") for _ in range(4)]
    for each in four:
        each.line()
    for each in four:
        each.go_on()
    return float(sum(each.result() for each in four) / RATE_SECONDS)


def repeat(address: str) -> None:
    """Print Python's figures beside those of Go, measured in turn."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/figures"
        command = ["go", "test", "-c", "-o", program, "."]
        subprocess.run(command, cwd=ROOT / "tests_go" / "etcd", check=True)
        rows = []
        for _ in range(REPEATS):
            go = go_repeated(program, address)
            acquires = Worker("golock.etcd", "uncontended", address, "alone").result()
            acquire = statistics.median(acquires) * 1e6
            rate = four_processes("golock.etcd", address)
            rows.append((go["transaction"], acquire, acquire / go["transaction"], go["rate"], rate))
    names = ("transaction, µs", "acquire, µs", "ratio", "Go, acquires/s", "Python, acquires/s")
    for name, found in zip(names, zip(*rows, strict=True), strict=True):
        each = " ".join(f"{value:.2f}" if name == "ratio" else f"{value:.0f}" for value in found)
        print(f"{name}: median {statistics.median(found):.2f} of {each}")


def go_figures(address: str) -> dict[str, dict[str, float]]:
    """Return the figures of golock's Go package and of concurrency.Mutex."""
    done = subprocess.run(
        ["go", "test", "-count=1", "-v", "-run", "TestFigures", "."],
        cwd=ROOT / "tests_go" / "etcd",
        env={**os.environ, "GOLOCK_ENDPOINT": address},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("{"))
    figures: dict[str, dict[str, float]] = json.loads(line)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worker", nargs=4, metavar=("KIND", "WORK", "ADDRESS", "NAME"))
    parser.add_argument("--repeats", action="store_true", help="golock.etcd beside Go alone")
    arguments = parser.parse_args()
    if arguments.worker:
        kind, work, address, name = arguments.worker
        print(json.dumps(WORK[work](*KINDS[kind][0](address, name))))
        return
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    with servers(redis=not arguments.repeats) as running:
        repeat(running["etcd"][0])
        if arguments.repeats:
            return
        for kind, figures in go_figures(running["etcd"][0]).items():
            print(f"Go, {kind}:", {name: round(value, 1) for name, value in figures.items()})
        table = {kind: measure(kind, *running[server]) for kind, (_, server) in KINDS.items()}
    rows = list(next(iter(table.values())))
    print("| |", " | ".join(table), "|")
    print("| --- |", " | ".join("---:" for _ in table), "|")
    for row in rows:
        values = (each[row] for each in table.values())
        print(f"| {row} |", " | ".join("never" if v is None else f"{v:.0f}" for v in values), "|")


if __name__ == "__main__":
    main()
