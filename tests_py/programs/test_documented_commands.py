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
    pytest.mark.once,
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
        lines = [line.partition("#")[0].strip() for line in block.splitlines()]
        found += filter(None, lines)
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
print("golock" in sys.modules, sys.argv[1:])
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


class Example:
    """A command, and where and with what it runs."""

    def __init__(self, command: str, run: Run, folder: Path, environment: dict[str, str]) -> None:
        self.command = command
        self.run = run
        self.folder = folder
        self.environment = environment

    def make(self) -> None:
        """Have make print what it would do: each target has a rule, and so has all it needs.

        CI runs the targets themselves.
        """
        command = re.sub(r"PYTHON=\S+", "", self.command)
        command = re.sub(r"VERSION(?!=)", version(), command)
        assert self.run(f"{command} --dry-run PYTHON={base_interpreter()}", ROOT)

    def server(self) -> None:
        """Ask the server for a file, and interrupt it."""
        port = int(self.command.rpartition(" ")[2])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is in use")
        (self.folder / "page").write_text("here")
        words = self.command.split()
        server = subprocess.Popen(words, cwd=self.folder, env=self.environment)
        try:
            assert fetch(f"http://127.0.0.1:{port}/page") == b"here"
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0

    def script(self) -> None:
        (self.folder / "script.py").write_text(THREADED)
        assert self.run(self.command) == "True ['arguments']\n"

    def this(self) -> None:
        assert "Beautiful is better than ugly." in self.run(self.command)

    def usage(self) -> None:
        assert "usage" in self.run(self.command, status=2)

    def conformance(self) -> None:
        """Run a part; make conformance runs the whole."""
        command = self.command
        for placeholder, name in {
            "module:callable": "threading:RLock",
            "module": "threading",
        }.items():
            command = re.sub(rf"(?<= ){placeholder}(?= |$)", name, command)
        part = " --module test.test_sched" if "--standard-library" in command else " --only cases"
        self.run(command + part)

    def bench(self) -> None:
        assert "ratio" in self.run(f"{self.command} --quick")

    def succeeds(self) -> None:
        assert self.run(self.command)

    def succeeds_in_the_checkout(self) -> None:
        assert self.run(self.command, ROOT)

    def of_ci(self) -> None:
        """Nothing more: it runs these tests."""
        assert os.access(ROOT / self.command, os.X_OK)

    def tested_as_first_command(self) -> None:
        assert self.command in next(blocks(""))[1]

    def tested_with_the_go_module(self) -> None:
        """By test_go_module.py, which takes the blocks as a whole."""

    def deadlock(self) -> None:
        """Both lines: the library is built into an empty folder, which the program is given."""
        if shutil.which("go") is None:
            pytest.skip("no go command")
        library = self.folder / "auditor.so"
        build = "go -C examples build -buildmode=c-shared -o ../auditor.so ./deadlock"
        self.run(build.replace("../auditor.so", str(library)), ROOT)
        if "auditor.so" in self.command.split()[-1]:
            command = self.command.replace("./auditor.so", str(library))
            assert "All locks are free again." in self.run(command, ROOT)

    def looked_at(self) -> None:
        """Look at a program while it serves; `top` in a terminal, `web` until it is interrupted."""
        run = ["python", "-m", "golock", "run", "--sight", "examples/slow_log.py", "60"]
        with subprocess.Popen(run, cwd=ROOT, env=self.environment) as program:
            try:
                self.look(program.pid)
            finally:
                program.kill()

    def look(self, process: int) -> None:
        command = self.command.replace("PID", str(process)).replace("--seconds 10", "--seconds 1")
        listens = f"python -m golock dump {process}"
        self.run(f"n=0; until {listens} || [ $((n += 1)) -gt 100 ]; do sleep 0.1; done")
        if " top " in command:
            assert "RLock" in self.run(f"(sleep 3; echo q) | TERM=xterm script -qec '{command}' x")
        elif " run " in command:
            assert f"Process {process}" in self.run(listens)
        elif " web " in command:
            assert "http://127.0.0.1" in self.run(
                f"timeout -s INT 5 {command} --no-browser || true"
            )
        else:
            assert self.run(command)

    def tested_with_the_profiles(self) -> None:
        """By tests_py/go/test_profile_read_by_pprof.py, on a file."""

    def count(self) -> None:
        pytest.importorskip("gopy_counter")
        assert "words: " in self.run(self.command, ROOT)


RUNS: dict[str, Callable[[Example], None]] = {
    r"make [\w./-]+( PYTHON=\S+| VERSION=\S+)?( TAGGED=1)?": Example.make,
    r"python -m golock run -m http\.server \d+": Example.server,
    r"python -m golock run script\.py arguments": Example.script,
    r"python -m golock run --sight examples/slow_log\.py 60": Example.looked_at,
    r"python -m golock (dump|top|web|profile) PID.*": Example.looked_at,
    r"go tool pprof -tagroot side": Example.tested_with_the_profiles,
    r"(go -C examples build .+|python examples/deadlock/.+)": Example.deadlock,
    r"python -m golock run -c 'import this'": Example.this,
    r"python -m golock run": Example.usage,
    r"python -m golock conformance.*": Example.conformance,
    r"python -m golock bench": Example.bench,
    r"python -m golock (info|--version)": Example.succeeds,
    r"python pyext/native/layers\.py": Example.succeeds_in_the_checkout,
    r"\.ci/\w+": Example.of_ci,
    r"(python3 -m venv venv|venv/bin/.+)": Example.tested_as_first_command,
    r"(go (mod|get|run) .+|GOBIN=.+|PATH=.+)": Example.tested_with_the_go_module,
    r"python (cgo\.py|-m pip install pybindgen).+": Example.tested_with_the_go_module,
    r"python examples/gopy_counter/count\.py": Example.count,
}
"""What runs a command that this pattern matches as a whole; the first pattern that does counts."""


@pytest.mark.parametrize("command", commands())
def test_command(command: str, run: Run, folder: Path, environment: dict[str, str]) -> None:
    found = [runs for pattern, runs in RUNS.items() if re.fullmatch(pattern, command)]
    assert found, f"no test runs {command!r}"
    found[0](Example(command, run, folder, environment))


def version() -> str:
    """Return the version as the Makefile names its virtual environments."""
    return "{}.{}.{}".format(*sys.version_info) + getattr(sys, "abiflags", "")


def fetch(address: str) -> bytes:
    """Return what a server answers that is about to start."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


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


# tests_py/cluster/test_documentation.py runs those that need a server.
PROGRAMS = [each for each in blocks("python") if each[0] != "cluster.md"]


@pytest.mark.parametrize(("document", "program"), PROGRAMS)
def test_python_program(document: str, program: str, run: Run, folder: Path) -> None:
    (folder / "workers.py").write_text(WORKERS)
    (folder / "program.py").write_text(program)
    told = run("python program.py")
    assert told.startswith("golock.sight: ") if "# reported here" in program else told == ""
