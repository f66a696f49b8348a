"""The Go runtime in a Python program: few threads, no garbage collection, no environment.

The first garbage collection started some 30 threads, and a malformed GOMEMLIMIT ended the process.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading, time
import golock

number, seconds = int(sys.argv[2]), float(sys.argv[3])
golock._golock.core_address()
print("loaded", flush=True)
lock = {"Lock": golock.Lock, "RLock": golock.RLock, "Semaphore": golock.Semaphore}[sys.argv[1]]()
end = time.monotonic() + seconds

def work():
    while time.monotonic() < end:
        with lock:
            for _ in range(20):
                pass

threads = [threading.Thread(target=work) for _ in range(number)]
with lock:
    for thread in threads:
        thread.start()
for thread in threads:
    thread.join()
"""

ENVIRONMENT = {
    "GOGC": "1",
    "GODEBUG": "gctrace=1,inittrace=1,schedtrace=10,asyncpreemptoff=0",
    "GOMAXPROCS": "1",
    "GOMEMLIMIT": "nonsense",
}


def threads_of_the_core(process: int) -> int:
    number = 0
    for task in Path(f"/proc/{process}/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # the thread has ended
            number += task.read_text() == "golock\n"
    return number


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
@pytest.mark.parametrize("number", [2, 64])
def test_core_has_few_threads(kind: str, number: int, stress) -> None:
    """It has 5 or 6 threads, and had 36 to 44 when Go's garbage collector ran.

    An overloaded machine can add one or two: a thread that loses its processor for 10 ms within a
    call is preempted by the runtime when it goes on, and the runtime uses another thread for that.
    """
    command = [sys.executable, "-c", PROGRAM, kind, str(number), str(stress.size(0.5, 60.0))]
    with subprocess.Popen(
        command,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n"
        most = 0
        while process.poll() is None:
            with contextlib.suppress(OSError):
                most = max(most, threads_of_the_core(process.pid))
        stdout, stderr = process.communicate()
    assert (process.returncode, stderr, stdout) == (0, "", "")
    assert 0 < most <= 12


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user who has no threads")
@pytest.mark.parametrize("spare", range(9))
def test_core_with_few_threads_to_spare(python, check, spare: int) -> None:
    """The core is loaded first, or not; then new threads call it."""
    program = """
        import os, resource, sys, threading
        import golock

        os.setuid(70000 + int(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_NPROC, (1 + int(sys.argv[1]),) * 2)
        core = golock._golock.core_address
        def use():
            try:
                core()
            except golock.CoreError:
                pass
        use()
        for _ in range(5):
            threads = [threading.Thread(target=use) for _ in range(3)]
            for thread in threads:
                try:
                    thread.start()
                except RuntimeError:
                    break
            for thread in threads:
                if thread.ident:
                    thread.join()
        print("alive")
    """
    check(python(program, str(spare)), "alive\n")


@pytest.mark.parametrize("limit", ["RLIMIT_DATA", "RLIMIT_AS"])
@pytest.mark.parametrize("loaded", [False, True])
def test_core_with_little_memory(python, limit: str, loaded: bool) -> None:
    program = """
        import _thread, os, resource, sys, threading, time
        import golock

        limit, loaded = getattr(resource, sys.argv[1]), sys.argv[2] == "True"
        core = golock._golock.core_address
        threading.stack_size(256 * 1024)
        def use():
            try:
                core()
            except golock.CoreError:
                pass
        if loaded:
            core()
        field = {"RLIMIT_DATA": "VmData", "RLIMIT_AS": "VmSize"}[sys.argv[1]]
        for megabytes in range(8, 120, 16):
            pid = os.fork() if not loaded else 0
            if pid == 0:
                status = dict(line.split(":", 1) for line in open("/proc/self/status"))
                used = int(status[field].split()[0]) * 1024
                resource.setrlimit(limit, (used + megabytes * 2**20, resource.RLIM_INFINITY))
                use()
                for _ in range(20):
                    try:
                        # Thread.start() hangs for a thread that has no memory to start with.
                        _thread.start_new_thread(use, ())
                    except (RuntimeError, MemoryError):
                        break
                while _thread._count():
                    time.sleep(0.001)
                if not loaded:
                    os._exit(0)
            elif os.waitpid(pid, 0)[1] != 0:
                print(megabytes, "died")
        print("alive", flush=True)
        # A thread that has not begun yet is not counted. The interpreter would free its state.
        os._exit(0)
    """
    # The interpreter may report threads that had no memory to start with.
    result = python(program, limit, str(loaded))
    assert (result.returncode, result.stdout) == (0, "alive\n")
    assert not re.search("fatal error|runtime/cgo|golock waits", result.stderr)
