"""``python -m golock``: run a program, look into a running one, check conformance, measure."""

# Imported where needed: a module imported here would hide one of that name beside the program.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys

_COMMANDS = {
    "run": ("._run", "run an unchanged Python program on golock's locks"),
    "dump": (".sight._dump", "print who waits for what in a process, and who is deadlocked"),
    "top": (".sight._top", "show the locks of a process, live"),
    "profile": (".sight._profile", "record what the waits of a process cost"),
    "web": (".sight._web", "serve a page with the locks of a process, and who waits for them"),
    "conformance": (
        ".conformance",
        "compare golock's types, or another library's, with the interpreter's",
    ),
    "bench": (".bench", "measure golock beside the interpreter's own"),
    "info": ("._info", "print versions, the core and its settings"),
}
"""Each has a module with a function `main`, and a summary."""


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
    from importlib import import_module

    from . import __version__

    parser = argparse.ArgumentParser(
        prog="python -m golock", description="Python's locks, with a core written in Go."
    )
    version = f"golock {__version__} on Python {sys.version.split()[0]}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in _COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    parser.parse_args([command])
    module, _ = _COMMANDS[command]
    status: int = import_module(module, __package__).main(rest)
    return status


def _exit(status: int) -> None:
    """End with the status; after 0 just return, so that a program ends as it would by itself."""
    if status:
        sys.exit(status)


if __name__ == "__main__":
    _exit(main(sys.argv[1:]))
