"""A connection to golock.sight in another process of the same user."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import struct
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from . import _place
from ._image import Image

MAGIC: Final = 0x53476FC1
HELLO, IMAGE, LEVEL = range(1, 4)
TIMEOUT: Final = 5.0
"""Seconds. A process answers within 100 ms, unless it is stopped."""

_REQUEST = struct.Struct("<IIQ")
_REPLY = struct.Struct("<IiQ")
_LONGEST_REPLY = 1 << 31
_CREDENTIALS = struct.Struct("iII")


class ClientError(Exception):
    """Why a process cannot be asked, in one sentence."""


class NotListeningError(ClientError):
    """The process uses golock, but does not listen."""


class Client:
    """A connection to the process with this number.

    All methods raise ClientError when the process cannot be asked, or not any more.
    """

    def __init__(self, process: int, timeout: float = TIMEOUT) -> None:
        self.process = process
        _check_owner(process)
        self._socket = _connect(process, timeout)
        self.is_closed = False
        """Whether it has been closed, or an answer has failed: whatever comes is not the next."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.is_closed = True
        self._socket.close()

    def hello(self) -> dict[str, Any]:
        """Return the process's description of itself."""
        try:
            # The command line need not be UTF-8, and may be cut off within a character.
            document = json.loads(self._ask(HELLO).decode("utf-8", "replace"))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ClientError(self._other_version())
        return document

    def image(self, sections: int = 0) -> Image:
        """Return what golock.sight knows in the process; `sections` is a set of 1 << tag."""
        try:
            return Image(self._ask(IMAGE, sections))
        except ValueError as error:
            raise ClientError(f"process {self.process} answers with garbage: {error}") from None

    def set_level(self, level: int) -> None:
        """Change what the process records: an index of `LEVELS`."""
        self._ask(LEVEL, level)

    def _ask(self, request: int, argument: int = 0) -> bytes:
        try:
            return self._exchange(request, argument)
        except ClientError:
            self.close()
            raise

    def _exchange(self, request: int, argument: int) -> bytes:
        try:
            self._socket.sendall(_REQUEST.pack(MAGIC, request, argument))
            magic, error, size = _REPLY.unpack(self._receive(_REPLY.size))
            if magic != MAGIC or size > _LONGEST_REPLY:
                raise ClientError(self._other_version())
            if error:
                raise ClientError(f"process {self.process} refuses: {os.strerror(error)}")
            return self._receive(size)
        except TimeoutError:
            seconds = self._socket.gettimeout()
            raise ClientError(
                f"process {self.process} does not answer within {seconds:g} s"
            ) from None
        except (ConnectionError, EOFError):
            if not is_running(self.process):
                raise ClientError(f"process {self.process} has ended") from None
            raise ClientError(
                f"process {self.process} has closed the connection: it has 8 newer clients, or "
                f"another version of golock"
            ) from None
        except OSError as error:
            raise ClientError(f"process {self.process} cannot be asked: {error}") from None

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            part = self._socket.recv(min(size - len(received), 1 << 20))
            if not part:
                raise EOFError
            received += part
        return bytes(received)

    def _other_version(self) -> str:
        return f"process {self.process} has another version of golock, with another protocol"


def process_number(text: str) -> int:
    """Return the number of a process; raises ValueError."""
    number = int(text)
    if not 0 < number < 1 << 31:
        raise ValueError
    return number


process_number.__name__ = "PID"


def connect(process: int) -> Client:
    """Connect to a process, and have it listen if it does not.

    That needs the interpreter's remote execution, which Python 3.14 and later have.
    """
    try:
        return Client(process)
    except NotListeningError:
        if not hasattr(sys, "remote_exec"):
            raise
    _attach(process)
    return Client(process)


_LISTEN = """\
try:
    import os
    import golock.sight
    golock.sight.listen()
    reply = ""
except BaseException as error:
    reply = f"{{type(error).__name__}}: {{error}}"
with open({reply!r} + ".new", "w", encoding="utf-8", errors="backslashreplace") as file:
    file.write(reply)
os.replace({reply!r} + ".new", {reply!r})
"""


def _attach(process: int) -> None:
    """Have the main thread of a process call ``golock.sight.listen()``."""
    folder = tempfile.mkdtemp(prefix="golock-")
    script, reply = Path(folder, "listen.py"), Path(folder, "reply")
    script.write_text(_LISTEN.format(reply=str(reply)), encoding="utf-8")
    try:
        sys.remote_exec(process, str(script))  # type: ignore[attr-defined]
        deadline = time.monotonic() + TIMEOUT
        while not reply.exists():
            if not is_running(process):
                raise ClientError(f"process {process} has ended")
            if time.monotonic() > deadline:
                # The process will run the script when it can. Another one takes its place.
                script.write_text(f"import shutil\nshutil.rmtree({folder!r}, True)\n")
                folder = ""
                seconds = f"{TIMEOUT:g}"
                raise RuntimeError(f"its main thread has run no Python code for {seconds} s")
            time.sleep(0.01)
        reason = " ".join(reply.read_text(encoding="utf-8").split())
        if reason:
            raise RuntimeError(reason)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ClientError(
            f"process {process} does not listen, and cannot be made to: {reason}"
        ) from None
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def is_running(process: int) -> bool:
    """Return whether there is such a process. A zombie is none."""
    try:
        return re.search(r"^State:\s+[ZX]", _status(process), re.MULTILINE) is None
    except OSError:
        return False


def _status(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")


def _check_owner(process: int) -> None:
    try:
        found = re.search(r"^Uid:\s+\d+\s+(\d+)", _status(process), re.MULTILINE)
    except OSError:
        found = None
    if found is None or not is_running(process):
        raise ClientError(f"there is no process {process}")
    if int(found[1]) != os.geteuid():
        raise ClientError(
            f"process {process} belongs to another user, the one with number {found[1]}"
        )


def _environment(process: int) -> dict[str, str]:
    """Return the environment with which a process began."""
    try:
        content = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0"))
    return {name: value for name, _, value in pairs}


def _connect(process: int, timeout: float) -> socket.socket:
    user = os.geteuid()
    places = _place.folders(_environment(process), user) + _place.folders(os.environ, user)
    for folder in dict.fromkeys(places):
        path = _place.path(folder, process)
        try:
            status = os.lstat(path)
            if not _place.is_private(folder, user) or status.st_uid != user:
                raise ClientError(f"{folder} is not used: others than you have access to it")
        except OSError:
            continue
        if stat.S_ISSOCK(status.st_mode) and (connection := _try(path, process, timeout)):
            return connection
    if not is_running(process):
        raise ClientError(f"process {process} has ended")
    if not _has_golock(process):
        raise ClientError(
            f"process {process} has not loaded golock; start it by python -m golock run --sight"
        )
    raise NotListeningError(
        f"process {process} does not listen: call golock.sight.listen() in it, set GOLOCK_SIGHT, "
        f"or start it by python -m golock run --sight"
    )


def _try(path: str, process: int, timeout: float) -> socket.socket | None:
    """Return a connection to the process, or None if another one has that socket, or none."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(option)[0] == process:
            return connection
    except OSError:
        pass
    connection.close()
    return None


def _has_golock(process: int) -> bool:
    try:
        maps = Path(f"/proc/{process}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"/golock/_golock\.\S+\.so", maps) is not None
