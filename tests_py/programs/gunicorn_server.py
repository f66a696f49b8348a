"""Gunicorn with two workers answers 400 requests, changes its workers, and stops while it answers.

The arguments are those of gunicorn, without golock before them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from whose import whose

WORKERS, CLIENTS, REQUESTS = 2, 8, 50

lock = threading.Lock()
answered = 0


def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Answer the process, how many answers it has given, and whose the lock is.

    A POST is answered by a first part at once, and by its body when that has come.
    """
    global answered  # noqa: PLW0603
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["REQUEST_METHOD"] == "POST":
        yield b"["
        yield environ["wsgi.input"].read()
        return
    with lock:
        answered += 1
        count = answered
    yield json.dumps([os.getpid(), count, whose(lock)]).encode()


def ask(port: int) -> Any:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def main() -> None:
    """Print, as JSON, what was seen."""
    command = [sys.executable, "-m", "golock", "run", "-m", "gunicorn", *sys.argv[1:]]
    command += ["--bind=127.0.0.1:0", f"--workers={WORKERS}", "--no-control-socket"]
    server = subprocess.Popen(
        [*command, "gunicorn_server:application"],
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = threading.Timer(60, server.kill)
    watch.start()
    assert server.stderr is not None
    log: list[str] = []

    def wait_for(pattern: str, times: int = 1) -> str:
        for line in server.stderr or ():
            log.append(line)
            match = re.search(pattern, line)
            times -= match is not None
            if match and not times:
                return match[match.re.groups]
        raise AssertionError(f"{pattern} is not in the log: {log}")

    try:
        port = int(wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)"))
        wait_for("Booting worker", WORKERS)
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(lambda _: ask(port), range(CLIENTS * REQUESTS)))
        server.send_signal(signal.SIGHUP)
        wait_for("Booting worker|Worker exiting", 2 * WORKERS)
        later = ask(port)

        with socket.create_connection(("127.0.0.1", port)) as slow, slow.makefile("rb") as response:
            slow.sendall(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n")
            while response.readline().strip():
                pass
            begun = response.read(1)
            server.send_signal(signal.SIGTERM)
            wait_for("Handling signal: term")
            slow.sendall(b"1]")
            whole = begun + response.read()
        log += server.stderr
        status = server.wait()
    finally:
        server.kill()
        watch.cancel()
    counts = Counter(process for process, _, _ in answers)
    seen = {(process, count) for process, count, _ in answers}
    result = {
        "counted": sorted(seen)
        == sorted((process, n + 1) for process, count in counts.items() for n in range(count)),
        "new workers": later[0] not in counts,
        "answered while it stopped": json.loads(whole),
        "locks": sorted({owner for _, _, owner in answers}),
        "status": status,
        "log": [line for line in log if not re.search(r"\[(INFO|DEBUG)\]", line)],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
