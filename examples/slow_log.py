"""Serve pages with a pool of threads that all write to one log, whose handler is slow.

Nothing here knows golock; run it as ``python -m golock run --sight=owners examples/slow_log.py``.
It serves for the seconds that are its argument, 3 if there is none.
"""

from __future__ import annotations

import http.server
import logging
import queue
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

CLIENTS = 8

log = logging.getLogger("pages")


class SlowHandler(logging.Handler):
    """Sends each record to a disk, or a host, that takes its time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record while the handler's lock is held, as all handlers do."""
        time.sleep(0.004)


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        log.info("GET %s", self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.HTTPServer):
    """Takes each connection to the next free thread of a pool."""

    request_queue_size = CLIENTS

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.pool = pool

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        self.pool.submit(self.finish_and_close, request, client_address)

    def finish_and_close(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


def visit(address: str, done: queue.SimpleQueue[int], end: float) -> None:
    """Read pages until the end, and put their number."""
    pages = 0
    while time.monotonic() < end:
        with urllib.request.urlopen(address) as page:
            page.read()
        pages += 1
    done.put(pages)


def main(seconds: float) -> None:
    log.setLevel(logging.INFO)
    log.addHandler(SlowHandler())
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    with ThreadPoolExecutor(CLIENTS, "worker") as pool:
        server = Server(pool)
        threading.Thread(target=server.serve_forever, name="server").start()
        address = f"http://127.0.0.1:{server.server_port}/"
        clients = [
            threading.Thread(target=visit, args=(address, done, time.monotonic() + seconds))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.shutdown()
    print(f"{sum(done.get() for _ in clients)} pages")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
