"""Where a process listens for clients of golock.sight: ``golock/PID.sock`` in a private folder."""

# Not pathlib: it would hide a module of that name beside the program of python -m golock run.
# ruff: noqa: PTH103, PTH108, PTH118, PTH122, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping

LONGEST = 107
"""Bytes of a socket's path."""


def folders(environment: Mapping[str, str], user: int) -> list[str]:
    """Return where the socket may be, the best place first."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    temporary = environment.get("TMPDIR", "")
    found = [os.path.join(runtime, "golock")] if runtime.startswith("/") else []
    for parent in (temporary, "/tmp"):
        if parent.startswith("/"):
            found.append(os.path.join(parent, f"golock-{user}"))
    return [
        folder
        for folder in dict.fromkeys(found)
        if len(os.fsencode(path(folder, 1 << 22))) <= LONGEST
    ]


def path(folder: str, process: int) -> str:
    """Return the path of a process's socket."""
    return os.path.join(folder, f"{process}.sock")


def is_private(folder: str, user: int) -> bool:
    """Return whether it is a folder of this user, to which nobody else has access.

    Raises OSError, such as FileNotFoundError.
    """
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == user and not status.st_mode & 0o077


def prepare() -> str:
    """Return the folder for this process's socket, and make it if it is not there.

    Raises OSError if there is no place for it.
    """
    user = os.geteuid()
    failure = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    for folder in folders(os.environ, user):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if is_private(folder, user):
                sweep(folder)
                return folder
            failure = OSError(errno.EPERM, "not a folder that only its owner can enter", folder)
        except OSError as error:
            failure = error
    raise failure


def sweep(folder: str) -> None:
    """Remove the sockets of processes that ended without doing so, by os._exit or a signal.

    A process of another container may have a number that does not exist here.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            process, end = os.path.splitext(name)
            file = os.path.join(folder, name)
            if (
                end == ".sock"
                and process.isdecimal()
                and not _exists(int(process))
                and not _is_served(file)
            ):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _is_served(path: str) -> bool:
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        return connection.connect_ex(path) != errno.ECONNREFUSED
