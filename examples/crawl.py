"""Crawl a web site with a pool of threads: follow the links and read every page once.

The site is a local http.server over a folder of generated pages. Nothing here knows golock; run it
as ``python -m golock run examples/crawl.py``.
"""

from __future__ import annotations

import http.server
import queue
import re
import tempfile
import threading
import urllib.request
from pathlib import Path

PAGES = 300
WORKERS = 16


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = WORKERS  # one connection for each worker


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def write_site(folder: Path) -> None:
    for page in range(PAGES):
        links = {(page * 2 + 1) % PAGES, (page * 2 + 2) % PAGES, (page * 7) % PAGES}
        body = "".join(f'<a href="{link}.html">{link}</a>' for link in sorted(links))
        (folder / f"{page}.html").write_text(f"<html>{body}</html>")


def crawl(base: str) -> dict[str, int]:
    """Return the size of every page that can be reached from ``0.html``."""
    found = {"0.html": 0}
    guard = threading.Lock()
    todo: queue.Queue[str] = queue.Queue()
    todo.put("0.html")

    def work() -> None:
        while True:
            name = todo.get()
            with urllib.request.urlopen(base + name) as answer:
                page = answer.read().decode()
            with guard:
                found[name] = len(page)
                new = [link for link in re.findall(r'href="([^"]+)"', page) if link not in found]
                found.update(dict.fromkeys(new, 0))
            for link in new:
                todo.put(link)
            todo.task_done()

    for _ in range(WORKERS):
        threading.Thread(target=work, daemon=True).start()
    todo.join()
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder))

        def handler(*args: object) -> Quiet:
            return Quiet(*args, directory=folder)  # type: ignore[arg-type]

        with Server(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            found = crawl(f"http://127.0.0.1:{server.server_port}/")
            server.shutdown()
    print(f"{len(found)} pages, {sum(found.values())} bytes, {WORKERS} threads")
    if len(found) != PAGES or not all(found.values()):
        raise SystemExit(f"expected {PAGES} pages")


if __name__ == "__main__":
    main()
