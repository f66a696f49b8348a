"""What golock takes: time to import, threads of the system, bytes of a lock, resident memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import results

# Runs in an interpreter of its own, since what is loaded once stays loaded.
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


def run_seconds(code: str) -> float:
    """Seconds from the start to the end of an interpreter that runs `code`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def import_times(repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of an interpreter that does nothing, and of one that imports golock."""
    codes = {"pass": "pass", "import golock": "import golock"}
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(repeats):
        for name, code in codes.items():
            seconds[name].append(run_seconds(code))
    return {
        name: {"min": min(runs) * 1e3, "median": statistics.median(runs) * 1e3}
        for name, runs in seconds.items()
    }


def probe() -> dict[str, Any]:
    """Threads and memory at three points of one process's life, and the size of a lock."""
    output = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    figures: dict[str, Any] = json.loads(output)
    return figures


def main() -> None:
    fast = results.parse_fast(__doc__)
    results.save("footprint", {"import_ms": import_times(10 if fast else 100)} | probe(), fast=fast)


if __name__ == "__main__":
    main()
