"""``python -m golock profile``: what the waits of a process cost, for some time."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from pathlib import Path

from . import LEVELS, _formats
from ._client import Client, ClientError, connect, process_number
from ._dump import print_all
from ._image import Image
from ._samples import SECTIONS, Profile


def main(arguments: list[str]) -> int:
    """Profile a process, write a file, and print the top locks; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m golock profile",
        description="Record what the waits of a process cost, and print the locks for which its "
        "threads have waited longest. Ctrl-C ends the recording early.",
    )
    parser.add_argument("process", metavar="PID", type=process_number, help="the process")
    parser.add_argument(
        "-s", "--seconds", type=_seconds, default=10.0, help="how long, 10 if it is not given"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write")
    parser.add_argument(
        "-f",
        "--format",
        choices=_formats.FORMATS,
        help="if it is not given, the end of the file's name says which: "
        + "; ".join(f"{', '.join(ends)}: {name}" for name, ends in _formats.FORMATS.items()),
    )
    parser.add_argument(
        "-l",
        "--level",
        choices=LEVELS[1:],
        default="owners",
        help="what the process records meanwhile, if it does not record more already; owners, if "
        "it is not given",
    )
    options = parser.parse_args(arguments)
    if options.output and not options.format:
        try:
            options.format = _formats.of_name(options.output)
        except ValueError as error:
            parser.error(str(error))
    # So it interrupts no conversation with the process, and no file is half written.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return _run(options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(options: argparse.Namespace) -> int:
    try:
        if options.output:
            _check_folder(options.output)
        profile, failure = _record(options.process, options.seconds, options.level)
    except (ClientError, ValueError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.output}: {error.strerror}")
    if options.output:
        try:
            profile.write(options.output, options.format)
        except OSError as error:
            failure = f"{options.output}: {error.strerror}"
    try:
        print_all("".join(f"{contention}\n" for contention in profile.top()))
    except OSError as error:
        failure = failure or f"standard output: {error.strerror}"
    return _fail(failure) if failure else 0


def _fail(reason: str) -> int:
    sys.stderr.write(f"python -m golock profile: {reason}\n")
    return 1


def _check_folder(output: str) -> None:
    """Raise OSError if no file can be made there: better now than after the recording."""
    folder = Path(output).parent
    folder.stat()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


_INTERVAL = 1.0
"""Seconds. If the process dies, the profile ends with the last image, at most so long before."""


def _record(process: int, seconds: float, level: str) -> tuple[Profile, str]:
    """Return the profile, and why it has ended early, or ""."""
    until = time.monotonic() + seconds
    with connect(process) as client, _Level(client, LEVELS.index(level)):
        profile = Profile(lambda: client.image(SECTIONS))
        try:
            while (left := until - time.monotonic()) > 0:
                if _interrupted(min(left, _INTERVAL)):
                    break
                profile.update()
            profile.stop()
        except ClientError as error:
            if not profile.nanoseconds:
                raise
            seconds = profile.nanoseconds / 1e9
            return profile, f"{error}; the profile covers {seconds:.1f} s"
    return profile, ""


def _interrupted(seconds: float) -> bool:
    """Wait, and return whether Ctrl-C has ended the wait."""
    return signal.sigtimedwait({signal.SIGINT}, seconds) is not None


class _Level:
    """Raises the level of a process, and sets it back at the end."""

    def __init__(self, client: Client, level: int) -> None:
        self._client, self._level = client, level

    def __enter__(self) -> None:
        self._before = self._now()
        if self._before < self._level:
            self._client.set_level(self._level)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if self._before < self._level == self._now():
                self._client.set_level(self._before)
        except ClientError:
            pass

    def _now(self) -> int:
        # No section: the header says the level.
        image: Image = self._client.image(1 << 63)
        return image.header.level


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError("not between 0 and 86400 seconds")
    return seconds
