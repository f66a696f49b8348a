"""Fixtures that the tests share, and the size of the stress tests.

A stress test takes seconds in `make test`, and runs much longer with --soak. The totals it counts
are printed at the end of the run, and written as JSON to the file that --totals names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

# A busy machine is no failure.
hypothesis.settings.register_profile(
    "golock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("golock")

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Restore SIGINT, which a shell without job control ignores in background programs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def python() -> Python:
    """Run a program in a new process; its output is text, its exit status is not checked.

    The program can import the modules in tests_py.
    """

    def run(
        code: str,
        *arguments: str,
        env: Mapping[str, str] = os.environ,
        timeout: float = 120,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        path = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
        return subprocess.run(  # type: ignore[call-overload]
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env={**env, "PYTHONPATH": os.pathsep.join([*path, str(Path(__file__).parent)])},
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def check() -> Callable[[subprocess.CompletedProcess[str], str], None]:
    """Assert that a program succeeded and printed exactly this."""

    def check(result: subprocess.CompletedProcess[str], stdout: str) -> None:
        assert (result.returncode, result.stderr, result.stdout) == (0, "", stdout)

    return check


@pytest.fixture
def numbers(python: Python) -> Callable[..., list[int]]:
    """Run a program that must succeed, and return the integers that it prints."""

    def numbers(code: str, *arguments: object, **options: object) -> list[int]:
        result = python(code, *map(str, arguments), **options)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return [int(word) for word in result.stdout.split()]

    return numbers


@pytest.fixture
def restored_handoff() -> Iterator[None]:
    """Restore the hand-off threshold after the test."""
    import golock

    before = golock.get_handoff()
    yield
    golock.set_handoff(before)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Compile a C file of tests_py/stress as a shared library, and return the library's path."""

    def compiled(name: str) -> str:
        source = Path(__file__).parent / "stress" / name
        library = tmp_path_factory.mktemp("compiled") / source.with_suffix(".so").name
        options = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
        subprocess.run(["cc", *options, "-o", str(library), str(source), "-ldl"], check=True)
        return str(library)

    return compiled


@pytest.fixture(scope="session")
def out_of_memory(compiled: Callable[[str], str]) -> dict[str, str]:
    """Return an environment in which the C library's allocations can be made to fail."""
    environment = {**os.environ, "LD_PRELOAD": compiled("failing_allocations.c")}
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        environment["PYTHONMALLOC"] = "malloc"  # so that every object comes from the C library
    return environment


Size = TypeVar("Size", int, float)


class Stress:
    def __init__(self, soak: bool) -> None:
        self.soak = soak
        self.totals: Counter[str] = Counter()

    def size(self, short: Size, soak: Size) -> Size:
        """Return how much to do: rounds, children, seconds."""
        return soak if self.soak else short

    def count(self, what: str, number: int = 1) -> None:
        """Add to a total, named in the plural: 'children forked', 'signals delivered'."""
        self.totals[what] += number


TOTALS = pytest.StashKey[Stress]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the stress tests for longer")
    parser.addoption("--screenshots", type=Path, help="write the pictures of docs to this folder")
    parser.addoption("--totals", type=Path, help="write the stress tests' totals here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TOTALS] = Stress(config.getoption("--soak"))


@pytest.fixture
def stress(pytestconfig: pytest.Config) -> Stress:
    return pytestconfig.stash[TOTALS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    totals = config.stash[TOTALS].totals
    if totals:
        terminalreporter.section("stress test totals")
        for what, number in sorted(totals.items()):
            terminalreporter.line(f"{number:>14,} {what}")
    if config.getoption("--totals") is not None:
        config.getoption("--totals").write_text(json.dumps(totals, sort_keys=True))
