"""Stands for the service of golock.sight: answers requests at a socket as a test wants."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import threading
from pathlib import Path

from golock.sight import _client, _place
from sight_images import Maker

REQUEST, REPLY = struct.Struct("<IIQ"), struct.Struct("<IiQ")


class Service:
    """Listens in this process, at the place that XDG_RUNTIME_DIR says, until its block ends.

    Each connection is served by `serve`, and requests by the method `answer`.
    """

    def __init__(self, image=None):
        self.image = Maker().image() if image is None else image
        self.requests = []
        self.failure = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections = []

    def __enter__(self):
        self._path = _place.path(_place.prepare(), os.getpid())
        self._listener.bind(self._path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.drop()
        self._listener.close()
        Path(self._path).unlink()

    def drop(self):
        """Close all connections."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while len(received := connection.recv(REQUEST.size, socket.MSG_WAITALL)):
                    self.serve(connection, *REQUEST.unpack(received))
            except OSError:
                pass

    def serve(self, connection, magic, request, argument):
        """Answer one request."""
        assert magic == _client.MAGIC
        self.requests.append((request, argument))
        error, reply = self.failure, b""
        if not error:
            error, reply = self.answer(request, argument)
        connection.sendall(REPLY.pack(_client.MAGIC, error, len(reply)) + reply)

    def answer(self, request, argument):
        """Return an errno or 0, and the reply."""
        if request == _client.HELLO:
            return 0, json.dumps({"pid": os.getpid(), "level": "off"}).encode()
        if request == _client.IMAGE:
            return 0, self.image
        return (0, b"") if argument < 4 else (errno.EINVAL, b"")
