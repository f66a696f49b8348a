"""The footprint of golock: start-up time, threads, bytes of a lock, resident memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import results

# Runs in a new interpreter, because what is loaded once stays loaded.
PROBE = """
import json, re, sys

def status():
    text = open("/proc/self/status").read()
    threads, rss = (re.search(key + r":\\s*(\\d+)", text)[1] for key in ("Threads", "VmRSS"))
    return {"threads": int(threads), "rss_kB": int(rss)}

started = status()
import golock
imported = status()
lock = golock.allocate_lock()
lock.acquire()
lock.acquire(timeout=0.001)
contended = status()
print(json.dumps({
    "started": started,
    "imported": imported,
    "contended": contended,
    "lock_bytes": sys.getsizeof(lock),
}))
"""


# An empty program, without golock and with it.
STARTS = {
    "the interpreter": ["-c", "pass"],
    "import": ["-c", "import golock"],
    "install": ["-c", "import golock; golock.install()"],
    "run": ["-m", "golock", "run", "-c", "pass"],
}


def start_times(repeats: int) -> dict[str, dict[str, float]]:
    """Return milliseconds from start to end of an interpreter, for each of `STARTS`."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(repeats):
        for name, arguments in STARTS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True)
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {"min": min(runs) * 1e3, "median": statistics.median(runs) * 1e3}
        for name, runs in seconds.items()
    }


def probe() -> dict[str, Any]:
    """Return threads and memory at three points of one process, and the size of a lock."""
    output = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    figures: dict[str, Any] = json.loads(output)
    return figures


def main() -> None:
    fast = results.parse_fast(__doc__)
    results.save("footprint", {"start_ms": start_times(10 if fast else 100)} | probe(), fast=fast)


if __name__ == "__main__":
    main()
