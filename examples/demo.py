"""Run threaded programs that nobody here wrote on golock: the interpreter's own tests.

Where the interpreter comes without them, a threaded crawl of a local web server stands in.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

TESTS = (
    ("test.test_queue", []),
    ("test.test_concurrent_futures.test_thread_pool", []),
    ("test.test_concurrent_futures", ["-k", "ThreadPool"]),  # up to 3.11.4 one module
)
CRAWL = [str(Path(__file__).parent / "crawl.py")]


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def programs() -> list[list[str]]:
    found = [["-m", "unittest", *options, module] for module, options in TESTS if exists(module)]
    thread_pool = [program for program in found if "concurrent" in program[-1]]
    # A package holds no tests of its own.
    found = [program for program in found if program not in thread_pool[1:]]
    if len(found) < 2:
        print("The interpreter's tests are not all here (Debian: libpython3.x-testsuite).")
        found.append(CRAWL)
    return found


def main() -> int:
    for program in programs():
        command = [sys.executable, "-m", "golock", "run", *program]
        print(f"\n$ python {' '.join(command[1:])}", flush=True)
        begin = time.monotonic()
        status = subprocess.run(command, check=False).returncode
        print(f"exit status {status}, {time.monotonic() - begin:.1f} s", flush=True)
        if status != 0:
            return status
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
