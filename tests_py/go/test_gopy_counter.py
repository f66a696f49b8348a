"""examples/gopy_counter: the program, its one Go runtime, and its forked children."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "examples" / "gopy_counter" / "count.py"
PRINTED = "goroutine 4000\nlock 4000\nthread 4000\nwait 4000\nwords: 9\n"

# Runs the program; code that is appended runs after it.
AFTER = f"""
import gc, os, runpy, sys, threading, warnings
import golock

# From 3.12 on, os.fork() warns when the process has threads, Go's included.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def core():
    maps = open("/proc/self/maps").read()
    return golock._golock.core()["loaded"], "libgolock" in maps or "golock-core" in maps

def contend():
    '''Let threads take and release a lock, and wait for it.'''
    total, lock = 0, golock.Lock()
    def work():
        nonlocal total
        for _ in range(200):
            with lock:
                total += 1
    threads = [threading.Thread(target=work) for _ in range(4)]
    with lock:
        for thread in threads:
            thread.start()
        assert not lock.acquire(timeout=0.01)
    for thread in threads:
        thread.join()
    assert total == 800

def ended(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

program = runpy.run_path({str(PROGRAM)!r})
program["main"]()
"""


def test_program(check):
    command = [sys.executable, str(PROGRAM)]
    check(
        subprocess.run(command, capture_output=True, text=True, timeout=120, check=False), PRINTED
    )


def test_process_has_no_other_go_runtime(python, check):
    result = python(AFTER + "contend(); print(*core())")
    check(result, PRINTED + "True False\n")


def test_children_have_a_copy_of_the_core_and_end(python, check):
    """A child collects garbage, also when it ends, without waiting for Go."""
    result = python(
        AFTER
        + """
def child(generation):
    assert core() == (False, generation < 3)  # a child of one that has a copy
    contend()
    gc.collect()
    assert core() == (True, True)
    if generation > 1:
        fork(generation - 1)

def fork(generation):
    pid = os.fork()
    if pid == 0:
        child(generation)
        sys.exit()
    ended(pid)

contending = threading.Thread(target=lambda: [contend() for _ in range(20)])
contending.start()
for _ in range(5):
    fork(3)
contending.join()
print(*core())
"""
    )
    check(result, PRINTED + "True False\n")
