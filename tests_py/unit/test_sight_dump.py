"""``python -m golock dump`` and the text of a snapshot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from golock.sight import _image, _model, _text
from golock.sight._dump import main
from sight_images import Maker
from sight_service import Service

CREATE = ("/src/app.py", 12, "load")
TAKE = ("/src/app.py", 30, "save")
MAIN = ("/src/app.py", 50, "main")
HELD = _image.OBJECT_HELD
SELF = os.getpid()


@pytest.fixture(autouse=True)
def _runtime(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


def text(maker, **options):
    return _text.text(_model.decode(maker.image()), **options)


def after_head(maker):
    head, _, rest = text(maker).partition("\n\n")
    assert head.startswith("Process 4711, ")
    return rest


def is_part(part, whole):
    assert textwrap.dedent(part).strip() in whole


def test_head():
    head = text(Maker(level=1)).splitlines()[0]
    assert re.fullmatch(
        r"Process 4711, 2023-11-1\d \d\d:\d\d:20, level waits, on for 1 min 0 s", head
    )


@pytest.mark.parametrize("colour", [False, True])
def test_names_move_no_cursor(colour):
    maker = Maker()
    maker.thread(1, "a\x1b[2J\nb")
    maker.object(0x1000, owner=1, ago=1, name="\x1b[1mc", flags=HELD)
    printed = text(maker, colour=colour)
    assert "\\x1b[1mc (Lock, held by a\\x1b[2J\\nb for 1.0 s)" in printed.splitlines()
    assert set(re.findall(r"\x1b\[\d+\w", printed)) == ({"\x1b[1m", "\x1b[0m"} if colour else set())


def test_off():
    assert "level off: nothing is recorded" in text(Maker(level=0, started=None))


def test_nothing():
    assert after_head(Maker()) == "0 waits for 0 locks"


def deadlocked():
    maker = Maker()
    maker.thread(1, "clerk")
    maker.thread(2, "auditor")
    maker.object(0x1000, owner=1, ago=3, stack=[TAKE], name="accounts", flags=HELD)
    maker.object(0x2000, owner=2, ago=3, stack=[TAKE], name="journal", flags=HELD)
    members = maker.wait(0x2000, 1, ago=2, stack=[MAIN]), maker.wait(0x1000, 2, ago=1)
    maker.cycle(*members)
    return maker


def test_a_deadlock_comes_first():
    lines = after_head(deadlocked()).splitlines()
    assert lines[:2] == [
        "Deadlock of 2 threads:",
        "clerk has waited 2.0 s for journal, which auditor holds:",
    ]


def test_a_deadlock_is_red():
    maker = deadlocked()
    assert "\x1b[31;1mDeadlock of 2 threads:\x1b[0m" in text(maker, colour=True)
    assert "\x1b" not in text(maker)


def test_waits_by_lock_the_longest_first():
    maker = Maker()
    maker.thread(1, "clerk")
    maker.thread(2, "auditor")
    maker.thread(3, "guard")
    maker.object(0x1000, created=CREATE)
    maker.object(0x2000, "RLock", owner=3, ago=9, stack=[TAKE], name="b", flags=HELD, value=1)
    maker.wait(0x1000, 1, ago=0.002, stack=[MAIN, TAKE], left=3)
    maker.wait(0x2000, 2, ago=8, stack=[MAIN])
    is_part(
        """
        2 waits for 2 locks
        b (RLock, held by guard for 9.0 s)
          auditor has waited 8.0 s
            File "/src/app.py", line 50, in main
        Lock app.py:12 (load) (free)
          clerk has waited 2.0 ms, at most 3.0 s more
            File "/src/app.py", line 50, in main
            File "/src/app.py", line 30, in save

        1 lock held
        b (RLock, held by guard for 9.0 s), acquired at /src/app.py:30 (save)

        3 threads
        clerk
        auditor
        guard
        """,
        text(maker),
    )


def test_waits_at_the_same_place_are_one_paragraph():
    maker = Maker()
    for thread in range(1, 11):
        maker.thread(thread, f"w{thread}")
        maker.wait(0x1000, thread, ago=thread, stack=[MAIN])
    is_part(
        """
        object at 0x1000
          10 threads have waited 1.0 s to 10.0 s: w1, w2, w3, w4, w5, w6, w7, w8, and 2 more
            File "/src/app.py", line 50, in main
        """,
        text(maker),
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"flags": HELD}, "held by an unknown thread"),
        ({"kind": "Event"}, "clear"),
        (
            {"kind": "Event", "owner": 1, "ago": 4, "flags": HELD},
            "set, last set by clerk 4.0 s ago",
        ),
        ({"kind": "Condition", "owner": 1}, "last notified by clerk"),
        ({"kind": "Barrier", "value": 3, "arrived": 1}, "2 of 3 parties missing"),
        ({"kind": "Semaphore", "flags": HELD}, "exhausted"),
        ({"kind": "BoundedSemaphore", "value": 1}, "available, 1 permit"),
        ({"flags": _image.OBJECT_STRANGER}, "free, released by another thread than its holder"),
    ],
)
def test_what_is_known_of_a_lock(fields, said):
    maker = Maker()
    maker.thread(1, "clerk")
    maker.object(0x1000, **fields)
    maker.wait(0x1000, 2)
    kind = fields.get("kind", "Lock")
    assert f"{kind} at 0x1000 ({said})\n" in text(maker)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ago": 3, "taken": 1}, "2.0 s, has the lock, and has waited 1.0 s for the GIL"),
        ({"flags": _image.WAIT_HAS_GIL}, "1.0 s, has the GIL"),
        ({"flags": _image.WAIT_SUSPENDED}, "1.0 s, runs a signal handler"),
        ({"ago": 90}, "1 min 30 s"),
        ({"ago": 7300}, "2 h 1 min"),
        ({"ago": 0.0000025}, "2 \N{MICRO SIGN}s"),
    ],
)
def test_how_a_thread_waits(fields, said):
    maker = Maker()
    maker.wait(0x1000, _image.GOROUTINE | 5, **fields)
    assert f"  goroutine 5 has waited {said}\n" in text(maker) + "\n"


def test_permits():
    maker = Maker()
    maker.thread(1, "clerk")
    maker.object(0x1000, "Semaphore", name="the pool")
    maker.permit(0x1000, 1, ago=2, number=3, stack=[TAKE])
    assert "the pool: clerk has 3 permits for 2.0 s, acquired at /src/app.py:30 (save)" in text(
        maker
    )


def test_order():
    maker = Maker(level=3)
    maker.order(1, ("Lock", "a", None), ("Lock", "b", None), thread=1, first_stack=[MAIN])
    maker.order(1, ("Lock", "b", None), ("Lock", "a", None), thread=2)
    assert "2 locks are taken in contradictory orders:" in text(maker)


def test_long_lists_end_early():
    maker = Maker()
    for address in range(250):
        maker.object(0x1000 + address, owner=1, ago=address, flags=HELD)
    assert "250 locks held" in text(maker)
    assert "\n... and 150 more" in text(maker)


def test_old_names_and_dropped_records():
    maker = Maker(flags=0, dropped=(1, 0, 3, 0, 0))
    maker.thread(1, "clerk")
    assert "1 thread, names as last seen" in text(maker)
    assert text(maker).endswith("Not recorded for lack of room: 1 waits, 3 stacks")


def test_threads():
    maker = Maker()
    maker.thread(1, "MainThread", native=7, main=True)
    maker.thread(2, "boss", native=8, main=True)
    maker.thread(_image.GOROUTINE | 3)
    is_part(
        """
        3 threads
        MainThread, native id 7
        boss (main thread), native id 8
        goroutine 3 (goroutine)
        """,
        text(maker),
    )


def test_str_is_the_text():
    snapshot = _model.decode(deadlocked().image())
    assert str(snapshot) == _text.text(snapshot)


def test_command(capsys):
    with Service(deadlocked().image()):
        assert main([str(SELF)]) == 0
    printed = capsys.readouterr()
    assert printed.out == text(deadlocked()) + "\n"
    assert printed.err == ""


def test_command_with_json(capsys):
    with Service(deadlocked().image()):
        assert main([str(SELF), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [wait["lock"] for wait in document["waits"]] == [0x2000, 0x1000]


def test_names_that_the_output_cannot_show():
    maker = Maker()
    maker.thread(1, "\N{SNOWMAN}")
    with Service(maker.image()):
        done = subprocess.run(
            [sys.executable, "-m", "golock", "dump", str(SELF)],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2603" in done.stdout


def test_a_reader_that_has_enough():
    maker = Maker()
    for address in range(20_000):
        maker.wait(address, address)
    command = f"{sys.executable} -m golock dump --json {SELF}"
    with Service(maker.image()):
        done = subprocess.run(
            ["sh", "-c", f"{command} | head -n 1"], capture_output=True, check=False
        )
    assert (done.stdout, done.stderr) == (b"{\n", b"")


def test_an_output_that_is_full():
    with Service(Maker().image()), Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "golock", "dump", str(SELF)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b"python -m golock dump: standard output: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("image", [b"", b"x" * 500, deadlocked().image()[:-100]])
def test_command_with_an_answer_that_is_no_image(capsys, image):
    with Service(image):
        assert main([str(SELF)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(
        r"python -m golock dump: process \d+ answers with garbage: .+\n", printed.err
    )


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_command_with_a_damaged_image(capsys, json):
    maker = deadlocked()
    maker.entries[_image.WAITS][0] = (*maker.entries[_image.WAITS][0][:5], 999, 0)
    with Service(maker.image()):
        assert main([str(SELF), *json]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "python -m golock dump: the image has no stack 999\n")


@pytest.mark.parametrize("arguments", [[], ["x"], ["0"], ["-1"], ["1", "2"], ["1", "--nothing"]])
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m golock dump" in capsys.readouterr().err


def test_a_process_that_does_not_listen(capsys):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert main([str(process.pid)]) == 1
    finally:
        process.communicate()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "has not loaded golock" in printed.err
