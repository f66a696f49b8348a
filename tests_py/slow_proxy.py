"""What stands between a client and an endpoint, and passes everything on late."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time


class SlowProxy:
    """Passes each piece on after so many seconds, and the connection's end as well."""

    def __init__(self, target: str, delay: float, port: int = 0) -> None:
        self._target = target
        self._delay = delay
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = "{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        host, port = self._target.split(":")
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, int(port)))
            self._connections += (client, server)
            for source, sink in ((client, server), (server, client)):
                pieces: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                for work in (self._receive, self._send):
                    end = source if work == self._receive else sink
                    threading.Thread(target=work, args=(end, pieces), daemon=True).start()

    def _receive(self, source: socket.socket, pieces: queue.SimpleQueue) -> None:
        piece = b"..."
        while piece:
            try:
                piece = source.recv(1 << 16)
            except OSError:
                piece = b""
            pieces.put((time.monotonic() + self._delay, piece))

    def _send(self, sink: socket.socket, pieces: queue.SimpleQueue) -> None:
        while True:
            due, piece = pieces.get()
            time.sleep(max(due - time.monotonic(), 0))
            with contextlib.suppress(OSError):
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
