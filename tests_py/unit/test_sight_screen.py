"""What ``python -m golock top`` shows: lines of text, without a terminal."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golock.sight import _image, _screen
from golock.sight._client import Client
from golock.sight._screen import HELP, RED, SELECTED, Screen, Source, picture
from sight_images import Maker
from sight_service import Service

TAKE = ("/src/app.py", 30, "save")
MAIN = ("/src/app.py", 50, "main")
HELD = _image.OBJECT_HELD
SELF = os.getpid()


def contended():
    """Return an image: the first has waited longest, the second has most waiters."""
    maker = Maker()
    maker.thread(1, "clerk")
    maker.thread(2, "auditor")
    maker.thread(3, "guard")
    maker.object(0x1000, owner=1, ago=30, stack=[TAKE], name="accounts", flags=HELD)
    maker.object(0x2000, owner=2, ago=40, name="journal", flags=HELD)
    maker.object(0x3000, name="zero")
    maker.wait(0x1000, 3, ago=20, stack=[MAIN, TAKE])
    maker.wait(0x2000, 1, ago=2)
    maker.wait(0x2000, 2, ago=1)
    maker.sample(1, 0x3000, name="zero", number=3, delay=5_000_000_000)
    under_way = _image.SAMPLE_UNDER_WAY
    maker.sample(3, 0x1000, name="accounts", flags=under_way, delay=20_000_000_000)
    maker.sample(1, 0x1000, name="accounts", delay=1_000_000_000)
    maker.sample(1, 0x3000, name="zero", flags=_image.SAMPLE_HOLD, delay=90_000_000_000)
    maker.ended = (4, 6_000_000_000, 2_000_000)
    return maker


def screen(maker=None):
    made = Screen(4711)
    made.picture = picture(_image.Image((maker or contended()).image()))
    return made


def texts(screen, width=100, height=20):
    lines = screen.lines(width, height)
    assert all(len(text) == width for text, _ in lines)
    return [text.rstrip() for text, _ in lines]


def names(screen):
    """Return the first word of each row."""
    body = texts(screen)[2:-1]
    return [line[2:].split()[0] for line in body if line and not line.startswith("    ")]


def test_rows():
    head, title, *rows = texts(screen())
    assert head.startswith("process 4711  ")
    assert "level owners  3 wait, 4 have waited 6.0 s for locks, 2.0 ms for the GIL" in head
    assert title.split() == ["LOCK", "TOTALv", "WAITERS", "LONGEST", "HELD", "HOLDER"]
    assert rows[0].split() == [">", "accounts", "21.0", "s", "1", "20.0", "s", "30.0", "s", "clerk"]
    assert rows[1].split() == ["zero", "5.0", "s", "0"]
    assert rows[2].split() == ["journal", "3.0", "s", "2", "2.0", "s", "40.0", "s", "auditor"]
    assert rows[-1] == HELP
    assert len(rows) == 18


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("total", ["accounts", "zero", "journal"]),
        ("longest", ["accounts", "journal", "zero"]),
        ("waiters", ["journal", "accounts", "zero"]),
        ("held", ["journal", "accounts", "zero"]),
        ("name", ["accounts", "journal", "zero"]),
    ],
)
def test_sort(key, order):
    shown = screen()
    shown.lines(100, 20)
    shown.press(key)
    assert [name.lstrip(">") for name in names(shown)] == order
    assert texts(shown)[1].count("v") == 1


def test_selection():
    shown = screen()
    assert texts(shown)[2].startswith("> accounts")
    for key, place in [("down", 1), ("down", 2), ("down", 2), ("up", 1), ("home", 0), ("end", 2)]:
        shown.press(key)
        lines = shown.lines(100, 20)
        assert [style for _, style in lines[2:5]].index(SELECTED) == place


def test_the_selection_follows_its_lock():
    shown = screen()
    shown.lines(100, 20)
    shown.press("end")
    assert shown.lines(100, 20)[4][1] == SELECTED
    shown.press("waiters")
    assert shown.lines(100, 20)[2][1] == SELECTED


def test_stacks_of_a_lock():
    shown = screen()
    shown.lines(100, 20)
    shown.press("open")
    assert texts(shown)[3:7] == [
        "    clerk acquired it at /src/app.py:30 (save)",
        "    guard has waited 20.0 s",
        "      /src/app.py:30 (save)",
        "      /src/app.py:50 (main)",
    ]
    shown.press("open")
    assert texts(shown)[3].split()[0] == "zero"
    shown.press("down")
    shown.press("open")
    assert texts(shown)[4] == "    nobody waits"


def test_a_deadlock_is_red():
    maker = contended()
    maker.cycle(1, 2)
    lines = screen(maker).lines(100, 20)
    assert lines[1][0].startswith("DEADLOCK: clerk -> journal -> auditor -> journal")
    assert [text.split()[0].strip(">") for text, style in lines if style == RED] == [
        "DEADLOCK:",
        "journal",
    ]


def test_a_deadlock_that_is_not_certain():
    maker = contended()
    maker.cycle(1, 2, certain=False)
    assert texts(screen(maker))[1].startswith("POSSIBLE DEADLOCK: ")


def test_locks_of_one_name_are_one_row():
    maker = Maker()
    for address in (0x1000, 0x2000):
        maker.object(address, owner=1, ago=1, created=TAKE, flags=HELD)
        maker.wait(address, 2, ago=3)
    row = texts(screen(maker))[2]
    assert row.startswith("> Lock app.py:30 (save)")
    assert row.split()[-10:] == ["6.0", "s", "2", "3.0", "s", "1.0", "s", "thread", "1,", "+1"]


def test_a_small_terminal_follows_the_selection():
    maker = Maker()
    for number in range(50):
        maker.object(0x1000 + number, name=f"lock{number:02}")
        maker.wait(0x1000 + number, number + 1)
    shown = screen(maker)
    shown.press("name")
    assert [line[2:8] for line in texts(shown, 60, 6)[2:5]] == ["lock00", "lock01", "lock02"]
    shown.press("end")
    assert any("lock49" in line for line in texts(shown, 60, 6))
    shown.press("home")
    assert any("lock00" in line for line in texts(shown, 60, 6))


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 30), st.booleans(), st.booleans())
def test_any_size(width, height, opened, message):
    shown = screen()
    shown.lines(100, 20)
    if opened:
        shown.press("open")
    shown.message = "something is wrong" if message else ""
    lines = shown.lines(width, height)
    assert len(lines) <= height
    assert all(len(text) == width for text, _ in lines)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\n", "?[31mred?"),
        ("\N{CJK UNIFIED IDEOGRAPH-4E00}" * 60, "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 3),
        ("x" * 300, "xxxxxxxxxx"),
    ],
)
def test_names_that_a_terminal_cannot_show(name, shown):
    maker = Maker()
    maker.object(0x1000, name=name)
    maker.wait(0x1000, 1)
    line = screen(maker).lines(100, 20)[2][0]
    assert shown in line
    assert line.isprintable()


@settings(deadline=None)
@given(st.text(max_size=30), st.integers(0, 20))
def test_fit(text, width):
    fitted = _screen._fit(text, width)
    assert fitted.isprintable()
    cells = sum(
        0 if _screen.unicodedata.combining(each) else 1 + (_screen._is_wide(each))
        for each in fitted
    )
    assert cells == width


def test_nothing_yet():
    assert texts(Screen(4711))[0] == "process 4711"
    Screen(4711).press("down")


@pytest.fixture
def source(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        with Service(contended().image()) as service:
            made = Source(Client(SELF), Screen(SELF))
            made.service = service
            yield made
            made.close()


class TestSource:
    def test_update(self, source):
        source.update()
        assert texts(source._screen)[2].startswith("> accounts")

    def test_the_level(self, source):
        source.set_level(3)
        assert source.service.requests == [(3, 3), (2, 0)]
        source.set_level(9)
        assert "refuses: Invalid argument" in source._screen.message

    def test_a_process_that_has_ended_keeps_its_last_picture(self, source, monkeypatch):
        source.update()
        source.service.drop()
        monkeypatch.setattr("golock.sight._client.is_running", lambda _: False)
        monkeypatch.setattr(_screen, "is_running", lambda _: False)
        source.update()
        source.update()
        lines = texts(source._screen)
        assert lines[1] == f"process {SELF} has ended; this is the last picture"
        assert lines[3].startswith("> accounts")

    def test_a_connection_that_was_closed_is_made_again(self, source):
        source.update()
        source.service.drop()
        source.update()
        assert "has closed the connection" in source._screen.message
        source.update()
        assert source._screen.message == ""
        assert source._screen.picture is not None

    def test_an_image_that_is_damaged(self, source):
        source.update()
        source.service.image = b"nothing"
        source.update()
        assert "answers with garbage" in source._screen.message
        assert source._screen.picture is not None
