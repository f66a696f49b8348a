"""Python in a Go program: goroutines and Python threads share a lock and one Go runtime."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from waiting import FUTEX, wait_until

PROGRAM = Path(sys.prefix) / "embed"

pytestmark = pytest.mark.skipif(
    not os.access(PROGRAM, os.X_OK),
    reason=f"no {PROGRAM}: {sysconfig.get_config_var('LDLIBRARY')} was not there to link with",
)


@pytest.fixture
def program():
    """Start examples/embed, and end it after the test."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [PROGRAM, sys.executable], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as running:
        yield running
        running.kill()


def before_the_wait(running):
    """Return what the program prints until its main thread waits for a goroutine's lock."""
    lines = []
    while not lines or not lines[-1].startswith("a goroutine has the lock"):
        line = running.stdout.readline()
        assert line, running.stderr.read()
        lines.append(line)
    wait_until(lambda: asleep_for_ever(running.pid), "the main thread sleeps")
    return "".join(lines)


def asleep_for_ever(pid):
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    return call[0] == FUTEX and int(call[4], 16) == 0


def test_counts_are_exact_on_both_sides_and_in_forked_children(program):
    counts = re.match(
        "child that returned: 0\n"
        r"children: \[\(20000, True\), \(20000, True\)\]\n"
        r"goroutines: (\d+), threads: 20000, table: (\d+)\n",
        before_the_wait(program),
    )
    assert int(counts[1]) > 0
    assert int(counts[2]) == int(counts[1]) + 20000


def test_libgolock_is_not_loaded(program):
    before_the_wait(program)
    maps = Path(f"/proc/{program.pid}/maps").read_text()
    assert "_golock" in maps
    assert "libgolock" not in maps


def test_a_lock_that_a_goroutine_frees(program):
    before_the_wait(program)
    assert program.communicate("\n", timeout=60) == ("freed\n", "")
    assert program.returncode == 0


def test_a_wait_for_a_goroutine_is_interrupted(program):
    before_the_wait(program)
    os.kill(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "interrupted\n"  # the end of its input frees the lock too
    assert program.communicate(timeout=60) == ("", "")
    assert program.returncode == 0
