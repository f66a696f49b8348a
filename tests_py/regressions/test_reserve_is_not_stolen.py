"""The core gave its reserve of memory back before it used it, and another thread could get it.

The thread that called the core for the first time then waited for memory for ever, with the GIL.
"""

from __future__ import annotations

import os

import pytest

PROGRAM = """
import ctypes, os, resource, sys, threading
import golock

limit, field = getattr(resource, sys.argv[1]), sys.argv[2]
core = golock._golock.core_address
core()
threading.stack_size(256 * 1024)
turns = [threading.Lock() for _ in range(300)]
done = threading.Semaphore(0)
refused = 0

def call(turn):
    global refused
    turn.acquire()
    try:
        core()
    except golock.CoreError:
        refused += 1
    done.release()
    turn.acquire()  # the runtime would use what it has for a thread that has ended

for turn in turns:
    turn.acquire()
    threading.Thread(target=call, args=(turn,), daemon=True).start()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
used = int(status[field].split()[0]) * 1024
resource.setrlimit(limit, (used + 2**20, resource.RLIM_INFINITY))
ctypes.c_int.in_dll(ctypes.CDLL(None), "steals").value = 1
for turn in turns:
    turn.release()
    done.acquire()
os.write(1, b"%d" % refused)
os._exit(0)
"""


@pytest.mark.parametrize(("limit", "field"), [("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")])
def test_reserve_is_not_stolen(python, compiled, limit, field):
    environment = {**os.environ, "LD_PRELOAD": compiled("memory_thief.c")}
    result = python(PROGRAM, limit, field, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr
    refused = int(result.stdout)
    assert refused < 300
    # Go's heap may have address space left for all of them.
    assert refused > 0 or limit == "RLIMIT_AS"
