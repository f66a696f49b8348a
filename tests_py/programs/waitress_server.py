"""A waitress server with 8 threads answers 1,000 requests of 10 clients."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import waitress
from whose import whose

CLIENTS, REQUESTS, THREADS = 10, 100, 8

lock = threading.Lock()
answered: Counter[str] = Counter()


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["PATH_INFO"].encode()
    with lock:
        answered[threading.current_thread().name] += 1
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def client(port: int, number: int) -> int:
    right = 0
    connection = HTTPConnection("127.0.0.1", port)
    for request in range(REQUESTS):
        path = f"/{number}/{request}"
        connection.request("GET", path)
        response = connection.getresponse()
        right += (response.status, response.read()) == (200, path.encode())
    connection.close()
    return right


def main() -> None:
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it logs the queue length
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=THREADS)
    port = server.effective_port
    serving = threading.Thread(target=server.run)
    serving.start()
    with ThreadPoolExecutor(CLIENTS) as clients:
        right = sum(clients.map(lambda number: client(port, number), range(CLIENTS)))
    dispatcher = server.task_dispatcher
    dispatcher.shutdown()
    server.trigger.pull_trigger(server.close)
    serving.join()
    assert right == sum(answered.values()) == CLIENTS * REQUESTS
    assert not dispatcher.threads
    locks = [dispatcher.lock, dispatcher.queue_cv, server.trigger.lock]
    print(json.dumps([whose(lock) for lock in locks]))


if __name__ == "__main__":
    main()
