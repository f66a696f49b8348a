"""Two interpreters with GILs of their own take and release one lock of several processes.

Each may release what the other has taken, so both may write its record of golock.sight at once. By
that its version stayed odd, and a snapshot waited for ever for the writer to end.
"""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="needs a GIL per interpreter")

PROGRAM = """
import os, secrets, sys, threading
from golock import process, sight

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

TAKE = '''
from golock.process import Lock
lock = Lock({name!r})
for _ in range(100_000):
    try:
        lock.release()  # what the other one has just taken, perhaps, and not recorded yet
    except RuntimeError:
        pass
    lock.acquire(False)
'''

name = secrets.token_hex(8)
lock = process.Lock(name)
sight.start("owners")
for _ in range(6):
    threads = [
        threading.Thread(target=interpreters.run_string, args=(each, TAKE.format(name=name)))
        for each in (interpreters.create(), interpreters.create())
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sight.snapshot()
    if sys.version_info >= (3, 13):  # before, they end with their threads
        for each, _ in interpreters.list_all()[1:]:
            interpreters.destroy(each)
lock.acquire(False)
lock.release()
with lock:
    held = [each for each in sight.snapshot().locks if each.kind == "process.Lock"]
    print([each.holder.name for each in held])
process.unlink(name)
"""


def test_snapshot_ends(python, check):
    check(python(PROGRAM, timeout=120), "['MainThread']\n")
