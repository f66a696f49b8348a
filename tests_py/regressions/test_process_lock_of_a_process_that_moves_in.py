"""A process that moves into a slot frees what the dead owner of the slot held, and nothing else.

Another of its threads, in another interpreter or without a GIL, may have taken the lock meanwhile.
Here the thread that moves in is held up on the way: golock.sight asks the library of a lock in etcd
meanwhile, which does not answer.
"""

from __future__ import annotations

import pytest

pytest.importorskip("_interpreters", reason="needs interpreters with a GIL each, of 3.13")

PROGRAM = """
import _interpreters, ctypes, os, secrets, threading
from golock import _golock, process, sight
from waiting import start, wait_until

OTHER = '''
import os
from pathlib import Path
from golock import _golock
from waiting import FUTEX, wait_until

lock = _golock.ProcessLock({path!r}, {device}, {inode}, -1, False)
call = Path("/proc/self/task/{main}/syscall")
os.write({ready}, b" ")
page = open({path!r}, "rb", 0)
wait_until(lambda: any(os.pread(page.fileno(), 4, 256)), "moves in")
wait_until(lambda: call.read_text().split()[0] == FUTEX, "is held up")
assert lock.acquire(timeout=60)
os.eventfd_write({held}, 1)
os.read({tried}, 1)
print("held:", lock.locked(), lock.abandoned, flush=True)
lock.release()
'''

name = secrets.token_hex(8)
lock = process.Lock(name)
path = process._path(name)
sight.start("waits")
slow = _golock.KnownLock("slow")
held = os.eventfd(0)
slow.ask(ctypes.cast(ctypes.CDLL(None).eventfd_read, ctypes.c_void_p).value, held)
looks = start(_golock.sight_image)
wait_until(
    lambda: open(f"/proc/self/task/{looks.native_id}/syscall").read().split()[1:2] == [hex(held)],
    "the library is asked",
)
is_ready, ready = os.pipe()
tried, has_tried = os.pipe()
code = OTHER.format(
    ready=ready,
    path=path,
    device=os.stat(path).st_dev,
    inode=os.stat(path).st_ino,
    main=threading.get_native_id(),
    held=held,
    tried=tried,
)
interpreter = _interpreters.create()
problems = []
thread = start(lambda: problems.append(_interpreters.exec(interpreter, code)))
os.read(is_ready, 1)
print("taken twice:", lock.acquire(False), flush=True)
os.write(has_tried, b" ")
thread.join()
_interpreters.destroy(interpreter)
print(problems)
process.unlink(name)
"""


def test_other_interpreter_keeps_the_lock(python, check):
    check(python(PROGRAM, timeout=60), "taken twice: False\nheld: True False\n[None]\n")
