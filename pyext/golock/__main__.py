"""``python -m golock``: run a program, check conformance, measure, or describe the installation."""

# Imported where needed: a module imported here would hide one of that name beside the program.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys

_COMMANDS = {
    "run": "run an unchanged Python program on golock's locks",
    "profile": "record what the waits of a process cost",
    "web": "serve a page with the locks of a process, and who waits for them",
    "conformance": "compare golock's types, or another library's, with the interpreter's",
    "bench": "measure golock beside the interpreter's own",
    "info": "print versions, the core and its settings",
}


def main(arguments: list[str]) -> int:
    """Dispatch to a command and return the exit status."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command == "run":
        from ._run import run

        run(rest)
        return 0
    return _other(command, rest)


def _other(command: str, rest: list[str]) -> int:
    import argparse

    from . import __version__

    parser = argparse.ArgumentParser(
        prog="python -m golock", description="Python's locks, with a core written in Go."
    )
    version = f"golock {__version__} on Python {sys.version.split()[0]}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    parser.parse_args([command])
    if command == "conformance":
        from .conformance import main as conformance

        return conformance(rest)
    if command == "profile":
        from .sight._profile import main as profile

        return profile(rest)
    if command == "web":
        from .sight._web import main as web

        return web(rest)
    if command == "bench":
        from .bench import main as bench

        return bench(rest)
    from ._info import main as info

    return info(rest)


def _exit(status: int) -> None:
    """End with the status; after 0 just return, so that a program ends as it would by itself."""
    if status:
        sys.exit(status)


if __name__ == "__main__":
    _exit(main(sys.argv[1:]))
