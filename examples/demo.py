"""Compare threaded programs without golock and on it; then find a deadlock and a slow lock."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = {
    "pipeline.py": "a queue between 6 threads",
    "crawl.py": "an http.server and 16 crawlers",
}
ROUNDS = 3
SIDES = ([], ["-m", "golock", "run"])


def seconds(command: list[str]) -> float:
    """Run a program and return how long it took; its output is shown if it fails."""
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout.decode()}exit status {done.returncode}")
    return time.monotonic() - begin


def compare() -> None:
    print(f"Programs of threads, without golock and on it: the best of {ROUNDS} runs, in turn.\n")
    print(f"{'program':<44}{'without':>9}{'golock':>9}{'ratio':>7}")
    for name, what in PROGRAMS.items():
        program = str(Path(__file__).with_name(name))
        runs = [
            [seconds([sys.executable, *side, program]) for side in SIDES] for _ in range(ROUNDS)
        ]
        without, on_golock = map(min, zip(*runs, strict=True))
        ratio = on_golock / without
        print(f"{name}: {what:<{42 - len(name)}}{without:>7.2f} s{on_golock:>7.2f} s{ratio:>7.2f}")
    print()


DEADLOCK = """
import threading
accounts, journal, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
def book(first, second):
    with first:
        both.wait()
        with second:
            pass
threading.Thread(target=book, args=(accounts, journal), name="clerk", daemon=True).start()
threading.Thread(target=book, args=(journal, accounts), name="auditor", daemon=True).start()
threading.Event().wait(0.5)
"""


def find_a_deadlock() -> None:
    print("A program whose two threads deadlock, with golock.sight:\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "bank.py")
        program.write_text(DEADLOCK, encoding="utf-8")
        command = [sys.executable, "-m", "golock", "run", "--sight", str(program)]
        subprocess.run(command, check=True)
    print()


def find_a_slow_lock() -> None:
    print("A web server whose threads wait for one lock, profiled for 2 s:\n", flush=True)
    program = str(Path(__file__).with_name("slow_log.py"))
    command = [sys.executable, "-m", "golock", "run", "--sight", program, "4"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        golock = [sys.executable, "-m", "golock"]
        dump = [*golock, "dump", str(server.pid)]
        quiet = subprocess.DEVNULL
        while subprocess.run(dump, stdout=quiet, stderr=quiet, check=False).returncode != 0:
            if server.poll() is not None:
                sys.exit("the server has ended")
            time.sleep(0.1)
        subprocess.run([*golock, "profile", str(server.pid), "--seconds", "2"], check=True)
    print()


def main() -> None:
    compare()
    find_a_deadlock()
    find_a_slow_lock()


if __name__ == "__main__":
    main()
