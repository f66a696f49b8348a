"""``python -m golock top``: the locks of a process, live."""

from __future__ import annotations

import argparse
import sys

from ._client import ClientError, connect, process_number
from ._screen import HELP, Screen, Source


def main(arguments: list[str]) -> int:
    """Show the locks of a process until q is pressed; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m golock top",
        description="Show the locks of a process by the time that threads have waited for them.",
        epilog=f"Keys: {HELP}.",
    )
    parser.add_argument("process", metavar="PID", type=process_number, help="the process")
    parser.add_argument(
        "-d",
        "--delay",
        metavar="SECONDS",
        type=_delay,
        default=1.0,
        help="between two pictures, 1 if it is not given",
    )
    options = parser.parse_args(arguments)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refuse(f"this is no terminal; use python -m golock dump {options.process}", 2)
    try:
        from . import _terminal  # noqa: PLC0415
    except ImportError:
        return _refuse("this Python has no module curses; use python -m golock dump", 1)
    if not _terminal.can_move_cursor():
        return _refuse("the terminal cannot move its cursor; use python -m golock dump", 2)
    screen = Screen(options.process)
    try:
        source = Source(connect(options.process), screen)
        source.update()
        _terminal.show(screen, source, options.delay)
        source.close()
    except ClientError as error:
        return _refuse(str(error), 1)
    return 0


def _delay(text: str) -> float:
    seconds = float(text)
    if not 0.05 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("not between 0.05 and 3600 seconds")
    return seconds


def _refuse(reason: str, status: int) -> int:
    sys.stderr.write(f"python -m golock top: {reason}\n")
    return status
