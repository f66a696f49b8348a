"""``python -m golock dump``: what a process waits for and holds, once."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

from ._client import ClientError, connect, process_number
from ._model import Model
from ._text import text


def main(arguments: list[str]) -> int:
    """Print what a process waits for and holds; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m golock dump",
        description="Print who waits for which lock of a process, who holds it, and who is "
        "deadlocked.",
    )
    parser.add_argument("process", metavar="PID", type=process_number, help="the process")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        with connect(options.process) as client:
            snapshot = Model(client.image()).snapshot()
            if options.json:
                output = json.dumps(snapshot.as_json(), indent=2)
            else:
                output = text(snapshot, colour=_has_colours())
    except (ClientError, ValueError) as error:
        sys.stderr.write(f"python -m golock dump: {error}\n")
        return 1
    try:
        print_all(f"{output}\n")
    except OSError as error:
        sys.stderr.write(f"python -m golock dump: standard output: {error.strerror}\n")
        return 1
    return 0


def print_all(output: str) -> None:
    """Print a text. A reader that has seen enough is no error; raises OSError for others."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(output)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError:
        _discard()
        raise


def _discard() -> None:
    # The interpreter flushes once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _has_colours() -> bool:
    return (
        sys.stdout.isatty()
        and os.environ.get("TERM", "dumb") != "dumb"
        and not os.environ.get("NO_COLOR")
    )
