"""A process moves into the slot of a dead one. The marks of the dead do not free its lock.

Another of its threads, in another interpreter or without a GIL, may take the lock as soon as it
knows the slot.
"""

from __future__ import annotations

import pytest

pytest.importorskip("_interpreters", reason="needs interpreters with a GIL each, of 3.13")

PROGRAM = """
import secrets, struct, subprocess, sys
from golock import process
from moving_in import Other
from waiting import wait_until

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
looks = child("looks")
looks.stdout.readline()

lock = process.Lock(name)
other = Other(path, f'''
moves_in(lambda life: not life[3] & 0x40)
assert lock.acquire(timeout=60)
os.write({looks.stdin.fileno()}, b"\\\\n")
print("the child takes it:", os.read({looks.stdout.fileno()}, 100).decode().strip(), flush=True)
lock.release()
let_go()
''')
with lock:
    pass
print(other.end())
process.unlink(name)
looks.stdin.close()
"""


def test_other_interpreter_takes_the_lock_meanwhile(python, check):
    check(python(PROGRAM, timeout=60), "the child takes it: False\n[None]\n")
