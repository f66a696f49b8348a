"""``python -m golock run --sight``: the level, the socket, and the program left as it is."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
import golock.sight
folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "golock")
print(golock.sight.level(), os.listdir(folder) == [f"{os.getpid()}.sock"], sys.argv)
"""


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.delenv("GOLOCK_SIGHT", raising=False)
        yield Path(folder)


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "golock", "run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("option", "level"),
    [
        ("--sight", "owners"),
        ("--sight=waits", "waits"),
        ("--sight=order", "order"),
        ("--sight=off", "off"),
    ],
)
def test_level(option, level):
    done = run(option, "-c", PROGRAM, "--sight", "x")
    printed = f"{level} True ['-c', '--sight', 'x']\n"
    assert (done.returncode, done.stderr, done.stdout) == (0, "", printed)


def test_the_socket_is_private_while_the_program_runs(runtime):
    code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    command = [sys.executable, "-m", "golock", "run", "--sight", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        process = int(program.stdout.readline())
        status = (runtime / "golock" / f"{process}.sock").stat()
        assert stat.S_ISSOCK(status.st_mode)
        assert status.st_mode & 0o077 == 0
        program.stdin.close()
        program.stdin = None
        assert program.wait(30) == 0
        program.stdout.read()
    assert list((runtime / "golock").iterdir()) == []


def test_the_option_of_the_program_is_its_own():
    done = run("-c", "import sys; print(sys.argv, 'golock.sight' in sys.modules)", "--sight")
    assert done.stdout == "['-c', '--sight'] False\n"


@pytest.mark.parametrize("level", ["everything", "Owners", "1"])
def test_a_level_that_does_not_exist(level):
    done = run(f"--sight={level}", "-c", "print()")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no such level: {level!r}; the levels are off, waits, owners, order" in done.stderr


def test_no_program():
    done = run("--sight")
    assert done.returncode == 2
    assert "no program given" in done.stderr


def test_the_program_runs_where_nothing_can_listen():
    """As in a container without a place to write."""
    code = (
        "import sys; from golock.sight import _place; "
        "_place.folders = lambda *_: ['/proc/none']; "
        "from golock import sight; sight._observe('waits'); print(sight.level())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "waits\n")
    assert done.stderr.startswith("golock: golock.sight cannot listen: ")
    assert done.stderr.count("\n") == 1


STACK = """
import golock.sight
lock = golock.Lock()
def wait():
    lock.acquire()
    lock.acquire(timeout=0.001)
golock.sight.start("owners", period=0)
with golock.sight.profile() as profile:
    wait()
print([frame.function for sample in profile.samples for frame in sample.stack])
"""


def test_stacks_begin_with_the_program(tmp_path):
    """The frames of golock that have started it are left out."""
    script = tmp_path / "script.py"
    script.write_text(STACK)
    for arguments in (["-c", STACK], [str(script)]):
        done = run("--sight", *arguments)
        assert (done.stderr, done.stdout) == ("", "['<module>', 'wait']\n")
