"""A process moves into the slot of a dead one. The marks of the dead do not free its lock.

Another of its threads, in another interpreter or without a GIL, may take the lock as soon as it
knows the slot. Here the thread that moves in is held up on the way: golock.sight asks the library
of a lock in etcd meanwhile, which does not answer.
"""

from __future__ import annotations

import pytest

pytest.importorskip("_interpreters", reason="needs interpreters with a GIL each, of 3.13")

PROGRAM = """
import _interpreters, ctypes, os, secrets, struct, subprocess, sys, threading
from golock import _golock, process, sight
from waiting import start, wait_until

SLOT = struct.Struct("8I")  # life and number, twice; doorbell, reserved, barrier, debts
DIED = 0x40000000
CHILD = '''
import sys
from golock.process import Lock
lock = Lock(sys.argv[1])
if sys.argv[2] == "dies":
    with lock:  # takes a slot
        pass
print(flush=True)
sys.stdin.readline()
print(lock.acquire(False), flush=True)
'''
OTHER = '''
import os
from pathlib import Path
from golock import _golock
from waiting import FUTEX, wait_until

lock = _golock.ProcessLock({path!r}, {device}, {inode}, -1, False)
call = Path("/proc/self/task/{main}/syscall")
os.write({ready}, b" ")
page = open({path!r}, "rb", 0)
wait_until(lambda: not os.pread(page.fileno(), 4, 256)[3] & 0x40, "moves in")
wait_until(lambda: call.read_text().split()[0] == FUTEX, "is held up")
assert lock.acquire(timeout=60)
os.write({to_child}, b"\\\\n")
print("the child takes it:", os.read({from_child}, 100).decode().strip(), flush=True)
lock.release()
os.eventfd_write({held}, 1)
'''

name = secrets.token_hex(8)

def child(what):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, name, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

def first_slot():
    with open(path, "rb") as file:
        return SLOT.unpack_from(file.read(), 256)

dies = child("dies")
dies.stdout.readline()
path = process._path(name)
wait_until(lambda: first_slot()[6] != 0, "is registered for barriers")
dies.kill()
dies.wait()
wait_until(lambda: first_slot()[0] & DIED, "is dead")
other = child("looks")
other.stdout.readline()

lock = process.Lock(name)
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
code = OTHER.format(
    ready=ready,
    path=path,
    device=os.stat(path).st_dev,
    inode=os.stat(path).st_ino,
    main=threading.get_native_id(),
    to_child=other.stdin.fileno(),
    from_child=other.stdout.fileno(),
    held=held,
)
interpreter = _interpreters.create()
problems = []
thread = start(lambda: problems.append(_interpreters.exec(interpreter, code)))
os.read(is_ready, 1)
with lock:
    pass
thread.join()
_interpreters.destroy(interpreter)
print(problems)
process.unlink(name)
other.stdin.close()
"""


def test_other_interpreter_takes_the_lock_meanwhile(python, check):
    check(python(PROGRAM, timeout=60), "the child takes it: False\n[None]\n")
