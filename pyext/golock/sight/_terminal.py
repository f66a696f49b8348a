"""Shows the screen of ``python -m golock top`` by curses."""

from __future__ import annotations

import contextlib
import curses
import time
from collections.abc import Sequence

from ._screen import COLUMNS, Line, Screen, Source

_KEYS: dict[str | int, str] = {
    **dict(zip("tlwhn", COLUMNS, strict=True)),
    "k": "up",
    "j": "down",
    "\n": "open",
    "\r": "open",
    " ": "open",
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "open",
}


def can_move_cursor() -> bool:
    """Return whether the terminal can do what a screen needs."""
    try:
        curses.setupterm()
    except curses.error:  # a terminal that is not known
        return False
    return curses.tigetstr("cup") is not None


def show(screen: Screen, source: Source, delay: float) -> None:
    """Show the screen until q is pressed, with a new picture every `delay` seconds."""
    curses.set_escdelay(25)
    with contextlib.suppress(KeyboardInterrupt):
        curses.wrapper(_run, screen, source, delay)


def _run(window: curses.window, screen: Screen, source: Source, delay: float) -> None:
    styles = _styles()
    with contextlib.suppress(curses.error):  # some terminals cannot hide it
        curses.curs_set(0)
    due = time.monotonic() + delay
    while True:
        height, width = window.getmaxyx()
        _draw(window, screen.lines(width, height), styles)
        window.timeout(max(0, int((due - time.monotonic()) * 1000)))
        try:
            key = window.get_wch()
        except curses.error:  # no key in time
            source.update()
            due = time.monotonic() + delay
            continue
        if key in ("q", "Q"):
            return
        if key == curses.KEY_RESIZE:  # the window has its new size; the terminal may show anything
            window.clearok(True)
        elif isinstance(key, str) and key in "0123":
            source.set_level(int(key))
        elif key in _KEYS:
            screen.press(_KEYS[key])


def _styles() -> Sequence[int]:
    """Return the attributes of PLAIN, BOLD, RED, SELECTED and DIM."""
    red = curses.A_BOLD | curses.A_UNDERLINE
    if curses.has_colors():
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_RED, -1)
        red = curses.A_BOLD | curses.color_pair(1)
    return curses.A_NORMAL, curses.A_BOLD, red, curses.A_REVERSE, curses.A_DIM


def _draw(window: curses.window, lines: list[Line], styles: Sequence[int]) -> None:
    window.erase()
    for row, (text, style) in enumerate(lines):
        # The cursor cannot move behind the last cell.
        with contextlib.suppress(curses.error):
            window.addstr(row, 0, text, styles[style])
    window.refresh()
