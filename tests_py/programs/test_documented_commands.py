"""Every command and every program of README.md, CONTRIBUTING.md and docs is run as it is written.

Each runs in an empty folder with an empty home. A command that no test runs fails here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"(make|go|python3?|venv/bin/\S+|\.ci/\S+|git) \S|\.ci/\S+$")

pytestmark = [
    pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no documents beside the tests"),
    pytest.mark.skipif(os.environ.get("GOLOCK_FASTPATH") == "0", reason="no other commands"),
    pytest.mark.timeout(900),
]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Return the blocks of code in this language, each with the name of its document."""
    for document in DOCUMENTS:
        for written, text in BLOCK.findall(document.read_text(encoding="utf-8")):
            if written == language:
                yield document.name, text


def commands() -> list[str]:
    """Return the commands of all documents: those in the text, and the blocks without a language.

    Without comments, and without the two lines that are one example.
    """
    found: list[str] = []
    for document in DOCUMENTS:
        text = BLOCK.sub("", document.read_text(encoding="utf-8"))
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
        found += [span for span in spans if PROGRAM.match(span)]
    for _, block in blocks(""):
        found += [line.partition(" #")[0].strip() for line in block.splitlines() if line.strip()]
    return list(dict.fromkeys(found))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    empty = tmp_path / "work"
    empty.mkdir()
    return empty


@pytest.fixture(scope="session")
def go_caches() -> dict[str, str]:
    """Return where Go keeps what it has downloaded and built, which an empty home would hide."""
    names = ["GOCACHE", "GOMODCACHE"]
    done = subprocess.run(["go", "env", *names], stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


@pytest.fixture
def environment(tmp_path: Path, go_caches: dict[str, str]) -> dict[str, str]:
    """Return an environment with an empty home, in which both pythons are the one of this test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, interpreter in ("python", sys.executable), ("python3", base_interpreter()):
        (programs / name).write_text(f'#!/bin/sh\nexec "{interpreter}" "$@"\n')
        (programs / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    # Where packages come from is the machine's matter.
    sources = ("PIP_", "GOPROXY", "GOSUMDB", "GONOSUM", "GOFLAGS", "SSL_", "PYTHON_GIL")
    kept = {name: value for name, value in os.environ.items() if name.startswith(sources)}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **go_caches, "PATH": path, "HOME": str(home)}


def base_interpreter() -> str:
    """Return the interpreter that the virtual environment of this test is made from."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


Run = Callable[..., str]


@pytest.fixture
def run(folder: Path, environment: dict[str, str]) -> Run:
    """Run a shell's command in the empty folder, and return what it printed."""

    def run(command: str, cwd: Path = folder, status: int = 0) -> str:
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    return run


THREADED = """
import sys, threading
lock, threads = threading.Lock(), []
threads = [threading.Thread(target=lock.acquire), threading.Thread(target=lock.release)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(type(lock).__module__, "golock" in sys.modules, sys.argv[1:])
"""


@pytest.mark.slow
def test_first_commands(run: Run, folder: Path) -> None:
    """A checkout, a virtual environment, an installation and a program on it."""
    first = next(text for document, text in blocks("") if document == "README.md")
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns(".*", "build", "results", "*.so", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    (checkout / "your_program.py").write_text(THREADED)
    assert "True []" in run(first, checkout)


def make(command: str, run: Run) -> None:
    """Have make print what it would do: each target has a rule, and so has all that it needs."""
    variable = re.sub(r"PYTHON=\S+", "", command).replace("VERSION", version())
    assert run(f"{variable} --dry-run PYTHON={base_interpreter()}", ROOT)


def version() -> str:
    """Return the version as the Makefile names its virtual environments."""
    return "{}.{}.{}".format(*sys.version_info) + getattr(sys, "abiflags", "")


def run_server(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Ask the server for a file, and interrupt it."""
    port = int(command.split()[-1])
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            pytest.skip(f"port {port} is in use")
    (folder / "page").write_text("here")
    server = subprocess.Popen(command.split(), cwd=folder, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/page") as answer:
                    assert answer.read() == b"here"
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0


# What stands for a name of the user's own in an example.
NAMES = {"module:callable": "threading:Lock", "module": "threading"}


def golock(command: str, run: Run, folder: Path) -> None:
    """Run ``python -m golock``."""
    for placeholder, name in NAMES.items():
        command = re.sub(rf"(?<= ){placeholder}(?= |$)", name, command)
    (folder / "script.py").write_text(THREADED)
    expected = {"script.py": "['arguments']", "-c": "Beautiful is better than ugly."}
    word = command.split()[4] if " run " in command else ""
    # The whole is the work of make conformance; here a part is enough.
    if "--standard-library" in command:
        command += " --module test.test_sched"
    elif "conformance" in command:
        command += " --only cases"
    elif command.endswith("bench"):
        command += " --quick"
    assert expected.get(word, "") in run(command)


# Of these another file runs more than the command itself.
ELSEWHERE = {
    "go mod ": "test_go_module.py",
    "go get ": "test_go_module.py",
    "venv/bin/": "test_first_commands",
    "python3 -m venv ": "test_first_commands",
}


@pytest.mark.parametrize("command", commands())
def test_command(
    command: str, run: Run, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if command.startswith("make "):
        make(command, run)
    elif " http.server " in command:
        run_server(command, folder, environment)
    elif command == "python -m golock run":
        assert "usage" in run(command, status=2)
    elif command.startswith("python -m golock "):
        golock(command, run, folder)
    elif command.startswith(".ci/"):
        assert os.access(ROOT / command, os.X_OK)
    elif command == "python pyext/native/layers.py":
        assert "primitives" in run(command, ROOT)
    else:
        tested = [where for start, where in ELSEWHERE.items() if command.startswith(start)]
        assert tested, f"no test runs {command!r}"
        assert (Path(__file__).parent / tested[0]).exists() or tested[0] in globals()


# Stands for the package of a Go program, which takes the lock as golock.At(address) does in Go.
WORKERS = """
import golock

class Start:
    def __init__(self, address):
        self.lock, self.table = golock.at(address), {}

    def Table(self):
        assert self.lock.locked()
        return self.table

    def Stop(self):
        assert self.lock.acquire(False)
        self.lock.release()

def Core():
    return golock.core_address()
"""


@pytest.mark.parametrize(
    "program", [pytest.param(text, id=f"{name} {i}") for i, (name, text) in enumerate(blocks("python"))]
)
def test_python_program(program: str, run: Run, folder: Path) -> None:
    (folder / "workers.py").write_text(WORKERS)
    (folder / "program.py").write_text(program)
    assert run("python program.py") == ""
