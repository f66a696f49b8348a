"""``python -m golock web PID``: a page with the locks of a process, and who waits for them.

This command serves the page, to browsers of this machine that know the token in its address. The
process itself serves no HTTP.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import secrets
import sys
import threading
import webbrowser
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from heapq import nlargest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from . import LEVELS, _image
from ._client import Client, ClientError, connect, is_running, process_number
from ._image import Image, ObjectEntry, SampleEntry
from ._model import Frame, Model, Snapshot, Wait, kind_name

_PAGE: Final = Path(__file__).with_name("page")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# A page with more than this is of no use to a reader, and a browser is slow with it.
_MOST_LOCKS: Final = 500
_MOST_WAITS: Final = 1000
_MOST_STACKS: Final = 2000


def main(arguments: list[str]) -> int:
    """Serve the page until the user presses Ctrl-C, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m golock web",
        description="Show the locks of a process, and who waits for them, in a browser.",
    )
    parser.add_argument("process", metavar="PID", type=process_number, help="the process")
    parser.add_argument(
        "--port", type=_port, default=0, help="the port to serve on; a free one if it is not given"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    try:
        target = Target(connect(options.process))
    except ClientError as error:
        return _refuse(str(error))
    try:
        server = Server(target, options.port)
    except OSError as error:
        return _refuse(f"port {options.port} cannot be used: {error.strerror}")
    with server:
        try:
            print(f"The locks of process {options.process}: {server.address}", flush=True)
            if not options.no_browser and has_display():
                webbrowser.open(server.address_for_once())
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    raise AssertionError("serve_forever() returned")


def has_display() -> bool:
    """Return whether a browser would open a window, and not take over this terminal."""
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise argparse.ArgumentTypeError(f"there is no port {port}")
    return port


def _refuse(reason: str) -> int:
    sys.stderr.write(f"python -m golock web: {reason}\n")
    return 1


class Target:
    """The process that the page shows. Raises ClientError if it cannot be asked at first."""

    def __init__(self, client: Client, reconnect: Callable[[int], Client] = Client) -> None:
        self._client, self._reconnect = client, reconnect
        self._command = str(client.hello().get("command", ""))
        self._one_at_a_time = threading.Lock()
        self._last: dict[str, Any] = {"snapshot": None}
        self._problem = ""
        self._has_ended = False

    def picture(self) -> dict[str, Any]:
        """Return what the page shows now; if the process does not answer, what it showed last."""
        with self._one_at_a_time:
            self._try(self._take)
            return {
                "process": self._client.process,
                "command": self._command,
                "levels": LEVELS,
                **self._last,
                "problem": self._problem,
                "has_ended": self._has_ended,
            }

    def set_level(self, level: str) -> str:
        """Change what the process records. Return "", or why that failed."""
        if level not in LEVELS:
            return f"there is no level {level!r}"
        with self._one_at_a_time:
            self._try(lambda: self._client.set_level(LEVELS.index(level)))
            return self._problem

    def _take(self) -> None:
        self._last = picture(self._client.image())

    def _try(self, ask: Callable[[], None]) -> None:
        if self._has_ended:
            return
        process = self._client.process
        try:
            if self._client.is_closed:
                self._client = self._reconnect(process)
            ask()
            self._problem = ""
        except ClientError as error:
            self._problem = str(error)
        except ValueError as error:
            self._problem = f"process {process} answers with garbage: {error}"
        if self._problem and not is_running(process):
            self._has_ended = True
            self._problem = f"process {process} has ended"
            print(f"{self._problem}; the page keeps its last picture", file=sys.stderr)


def picture(image: Image) -> dict[str, Any]:
    """Return what the page shows of an image. Raises ValueError if the image is damaged."""
    model = Model(image)
    snapshot = model.snapshot()
    locks = _locks_to_show(image)
    permits = [permit for permit in snapshot.permits if permit.lock.id in locks]
    shown = replace(
        snapshot,
        locks=[model.lock(address) for address in locks],
        waits=_waits_to_show(snapshot),
        threads=(),
        permits=permits,
    )
    document = shown.as_json()
    return {
        "snapshot": document,
        "texts": [str(deadlock) for deadlock in snapshot.deadlocks],
        "left": max(0, len(image.objects) - len(document["locks"])),
        "sums": _sums(model),
        **_waits_by_stack(model),
    }


_SHOWN_ACROSS = _image.ACROSS_HELD | _image.ACROSS_ABANDONED | _image.ACROSS_LOST


def _locks_to_show(image: Image) -> dict[int, None]:
    """Return the addresses of the locks that are waited for most, and then of those held.

    Those that a process has lost, or has died with, are shown like held ones.
    """
    waiters = Counter(wait.object for wait in image.waits)

    def rank(entry: ObjectEntry) -> tuple[float, ...]:
        across = image.across(entry.address)
        if across is not None:
            is_held = bool(across.flags & _SHOWN_ACROSS)
        else:
            is_held = bool(entry.flags & _image.OBJECT_HELD) and kind_name(entry.kind) != "Event"
        is_named = entry.name != 0 and across is None
        return waiters[entry.address], is_held, is_named, -entry.since

    busy = (entry for entry in image.objects if any(rank(entry)[:3]))
    return dict.fromkeys(entry.address for entry in nlargest(_MOST_LOCKS, busy, key=rank))


def _waits_to_show(snapshot: Snapshot) -> tuple[Wait, ...]:
    """Return the waits of the deadlocks, and of the others those that have lasted longest."""
    deadlocked = (wait for deadlock in snapshot.deadlocks for wait in deadlock.waits)
    waits = chain(deadlocked, islice(snapshot.waits, _MOST_WAITS))
    return tuple({(wait.thread.key, wait.lock.id): wait for wait in waits}.values())


def _sums(model: Model) -> list[dict[str, Any]]:
    """Return how many wait for the locks of each name, and the seconds of all waits for them.

    Locks without a name that were made at one line have one name.
    """
    image = model.image
    waiting: dict[int, list[float]] = {}  # by address
    for wait in image.waits:
        of_lock = waiting.setdefault(wait.object, [0, 0])
        of_lock[0] += wait.taken == 0
        of_lock[1] += max(0, (wait.taken or image.header.now) - wait.since) / 1e9
    sums: dict[tuple[str, str], list[float]] = {}
    for address, (waiters, seconds) in waiting.items():
        lock = model.lock(address)
        of_name = sums.setdefault((lock.name, lock.kind), [0, 0])
        of_name[0] += waiters
        of_name[1] += seconds
    for sample in image.samples:
        if not sample.flags & (_image.SAMPLE_HOLD | _image.SAMPLE_UNDER_WAY):
            sums.setdefault(_sampled(model, sample), [0, 0])[1] += sample.delay / 1e9
    most = nlargest(_MOST_LOCKS, sums.items(), key=lambda item: item[1])
    return [
        {"name": name, "kind": kind, "waiters": waiters, "seconds": seconds}
        for (name, kind), (waiters, seconds) in most
    ]


def _sampled(model: Model, sample: SampleEntry) -> tuple[str, str]:
    """Return the name and the kind of the lock that a sample is of."""
    name = model.lock_name(sample.kind, sample.name, sample.created, sample.object)
    return name, kind_name(sample.kind)


def _waits_by_stack(model: Model) -> dict[str, Any]:
    """Return the waits that cost most, and the frames of which their stacks are made."""
    totals: dict[tuple[int, str, str], list[int]] = {}
    for sample in model.image.samples:
        if not sample.flags & _image.SAMPLE_HOLD:
            total = totals.setdefault((sample.stack, *_sampled(model, sample)), [0, 0])
            total[0] += sample.delay
            total[1] += sample.number
    most = nlargest(_MOST_STACKS, totals.items(), key=lambda item: item[1])
    frames: dict[Frame, int] = {}
    waits = [
        {
            "stack": [frames.setdefault(frame, len(frames)) for frame in model.stack(stack)],
            "lock": lock,
            "kind": kind,
            "seconds": delay / 1e9,
            "count": count,
        }
        for (stack, lock, kind), (delay, count) in most
    ]
    return {"waits": waits, "frames": [asdict(frame) for frame in frames]}


class Server(ThreadingHTTPServer):
    """Serves the page of a target on 127.0.0.1. Raises OSError if the port cannot be used."""

    def __init__(self, target: Target, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.target = target
        self.token = secrets.token_urlsafe()
        self.files = {
            path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _TYPES
        }
        self._key: str | None = None

    @property
    def address(self) -> str:
        """The address of the page, which holds the token."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def address_for_once(self) -> str:
        """Return an address that leads to the page when it is first used, and never again.

        Other users of the machine can read the arguments with which a browser is started.
        """
        self._key = secrets.token_urlsafe()
        return f"http://127.0.0.1:{self.server_port}/{self._key}/"

    def is_token(self, text: str) -> bool:
        """Return whether this is the token."""
        return hmac.compare_digest(text.encode(), self.token.encode())

    def use_key(self, text: str) -> bool:
        """Return whether this is the key of `address_for_once`, and forget the key if it is."""
        key = self._key
        if key is None or not hmac.compare_digest(text.encode(), key.encode()):
            return False
        self._key = None
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless a browser has closed its connection."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "golock"
    sys_version = ""
    timeout = 10  # seconds; then the connection is closed

    def do_GET(self) -> None:
        name = self._name()
        if name is None:
            return
        if name == "picture":
            self._answer_json(self.server.target.picture())
            return
        name = name or "index.html"
        content = self.server.files.get(name)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, _TYPES[Path(name).suffix], content)

    def do_POST(self) -> None:
        name = self._name()
        if name is None:
            return
        if name != "level":
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
        elif self.headers.get("Origin") not in (None, f"http://{self.headers['Host']}"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif (length := self._length()) is None:
            self.send_error(HTTPStatus.BAD_REQUEST)
        else:
            level = self.rfile.read(length).decode("ascii", "replace")
            self._answer_json({"problem": self.server.target.set_level(level)})

    def _name(self) -> str | None:
        """Return what is asked for; or answer that it is forbidden, and return None."""
        port = self.server.server_port
        # Another host's name would be that of a page whose name leads here since it was loaded.
        if self.headers.get_all("Host") not in ([f"127.0.0.1:{port}"], [f"localhost:{port}"]):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        token, slash, name = self.path[1:].partition("/")
        if slash and self.server.is_token(token):
            return name
        if self.command == "GET" and self.server.use_key(token):
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", f"/{self.server.token}/")
            self._end()
            return None
        self.send_error(HTTPStatus.FORBIDDEN)
        return None

    def _length(self) -> int | None:
        """Return the length of a request's body, or None if it can be no level."""
        written = self.headers.get("Content-Length", "")
        return int(written) if written.isdecimal() and len(written) < 3 else None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with the status alone."""
        status = HTTPStatus(code)
        self._answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

    def _answer_json(self, document: dict[str, Any]) -> None:
        self._answer(HTTPStatus.OK, "application/json", json.dumps(document).encode())

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self._end()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _end(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Print nothing: the terminal is the user's."""
