"""``python -m golock top`` in a real terminal, with real keys, on a process that contends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from golock.sight import _dump, _top

pytest.importorskip("curses", reason="this Python has no curses")
pytest.importorskip("pyte")

from sight_terminal import Terminal

pytestmark = pytest.mark.slow

TARGET = Path(__file__).with_name("sight_target.py")


@pytest.fixture(autouse=True)
def _runtime(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("GOLOCK_SIGHT", "owners")
        yield


@pytest.fixture
def start():
    """Start the target; it ends with the test."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, str(TARGET), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def top(process, *options, **environment):
    command = [sys.executable, "-m", "golock", "top", str(process.pid), *options]
    return Terminal(command, **environment)


def test_locks_are_shown(start):
    with top(start()) as terminal:
        terminal.until("accounts")
        terminal.until("q quit")  # the last line
        row = next(line for line in terminal.screen.display if "accounts" in line)
        assert row.split()[-1] == "holder"
        assert "level owners" in terminal.text
        terminal.type("q")
        assert terminal.end() == 0


def test_the_screen_is_restored(start):
    with top(start()) as terminal:
        terminal.until("accounts")
        assert terminal.screen.cursor.hidden
        terminal.type("q")
        assert terminal.end() == 0
        assert not terminal.screen.cursor.hidden


def test_it_refreshes(start):
    with top(start(), "-d", "0.1") as terminal:
        terminal.until("accounts")
        before = re.search(r"[\d,]+ have waited", terminal.text)[0]
        terminal.until(before, gone=True)


def test_keys(start):
    with top(start(), "-d", "0.1") as terminal:
        terminal.until("TOTALv")
        for key, title in zip(
            "wlhnt", ["WAITERSv", "LONGESTv", "HELDv", "LOCKv", "TOTALv"], strict=True
        ):
            terminal.type(key)
            terminal.until(title)
        terminal.type("nk")
        terminal.until("> accounts")
        terminal.type("\r")
        terminal.until("clerk has waited")
        terminal.until("(book)")
        terminal.until("holder acquired it at")
        terminal.type("\r")
        terminal.until("clerk has waited", gone=True)
        terminal.until("journal")
        terminal.type("\x1b[B")
        terminal.until("> journal")
        terminal.type("k")
        terminal.until("> accounts")


def test_the_level(start):
    with top(start(), "-d", "0.1") as terminal:
        terminal.until("level owners")
        for key, level in zip("130", ["waits", "order", "off"], strict=True):
            terminal.type(key)
            terminal.until(f"level {level}")


def test_a_deadlock_is_red(start):
    with top(start("deadlock"), "-d", "0.1") as terminal:
        terminal.until("POSSIBLE DEADLOCK")
        assert "red" in terminal.colours("POSSIBLE DEADLOCK")
        terminal.until("side0 ")
        assert "red" in terminal.colours("side0 ")
        terminal.until("accounts")
        assert "red" not in terminal.colours("accounts")


def test_without_colours(start):
    with top(start("deadlock"), "-d", "0.1", TERM="vt100") as terminal:
        terminal.until("POSSIBLE DEADLOCK")
        assert "red" not in terminal.colours("POSSIBLE DEADLOCK")


def test_a_resize(start):
    with top(start(), "-d", "0.1") as terminal:
        terminal.until("q quit")
        terminal.resize(50, 10)
        terminal.until("q quit", gone=True)
        terminal.until("accounts")
        terminal.resize(120, 40)
        terminal.until("q quit")
        assert terminal.screen.display[39].rstrip().endswith("q quit")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 2), (20, 3)])
def test_a_small_terminal(start, width, height):
    with top(start(), "-d", "0.1", width=width, height=height) as terminal:
        terminal.until("p" if width > 1 else "~")
        terminal.type("\r")
        terminal.resize(100, 24)
        terminal.until("accounts")
        terminal.type("q")
        assert terminal.end() == 0


def test_the_end_of_the_process(start):
    process = start()
    with top(process, "-d", "0.1") as terminal:
        terminal.until("accounts")
        process.kill()
        process.wait()
        terminal.until(f"process {process.pid} has ended; this is the last picture")
        terminal.type("nk")
        terminal.until("> accounts")
        terminal.type("\r")
        terminal.until("clerk has waited")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_process_that_is_stopped(start):
    process = start()
    with top(process, "-d", "0.1") as terminal:
        terminal.until("accounts")
        process.send_signal(signal.SIGSTOP)
        terminal.until(f"process {process.pid} does not answer")
        process.send_signal(signal.SIGCONT)
        terminal.until("does not answer", gone=True)


def test_ctrl_c(start):
    with top(start()) as terminal:
        terminal.until("accounts")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_no_such_process():
    number = int(Path("/proc/sys/kernel/pid_max").read_text())
    with Terminal([sys.executable, "-m", "golock", "top", str(number)]) as terminal:
        assert terminal.end() == 1
        assert f"python -m golock top: there is no process {number}" in terminal.text


@pytest.mark.parametrize("name", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_cannot(name):
    command = [sys.executable, "-m", "golock", "top", str(os.getpid())]
    with Terminal(command, TERM=name) as terminal:
        assert terminal.end() == 2
        assert "the terminal cannot move its cursor" in terminal.text


def test_no_terminal(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "golock", "top", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "this is no terminal; use python -m golock dump" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["x"], ["1", "-d", "0"], ["1", "-d", "nan"]])
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        _top.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m golock top" in capsys.readouterr().err


def test_dump_of_a_real_process(start, capsys):
    assert _dump.main([str(start().pid)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^accounts \(Lock, held by holder for ", printed, re.MULTILINE)
    assert re.search(r"^  clerk has waited .*\n    File .*, in ", printed, re.MULTILINE)
