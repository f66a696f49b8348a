"""16 threads send 800 requests to a local web server through a pool of 4 connections."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import urllib3
from whose import whose

THREADS, REQUESTS, CONNECTIONS = 16, 50, 4


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def ask(pool: urllib3.HTTPConnectionPool, thread: int) -> int:
    right = 0
    for number in range(REQUESTS):
        body = f"{thread} {number}".encode() * (number + 1)
        response = pool.request("POST", "/", body=body)
        right += (response.status, response.data) == (200, body)
    return right


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever).start()
        with urllib3.HTTPConnectionPool(
            "127.0.0.1", server.server_port, maxsize=CONNECTIONS, block=True
        ) as pool:
            with ThreadPoolExecutor(THREADS) as threads:
                right = sum(threads.map(lambda thread: ask(pool, thread), range(THREADS)))
            connections = pool.pool
            assert connections is not None
            assert right == pool.num_requests == THREADS * REQUESTS
            assert 1 <= pool.num_connections <= CONNECTIONS
            assert connections.qsize() == CONNECTIONS
            locks = [connections.mutex, connections.not_empty, threads._shutdown_lock]
        server.shutdown()
    print(json.dumps([whose(lock) for lock in locks]))


if __name__ == "__main__":
    main()
