"""A process that moves into a slot frees what the dead owner of the slot held, and nothing else.

Another of its threads, in another interpreter or without a GIL, may have taken the lock meanwhile.
"""

from __future__ import annotations

import pytest

pytest.importorskip("_interpreters", reason="needs interpreters with a GIL each, of 3.13")

PROGRAM = """
import os, secrets
from golock import process
from moving_in import Other

name = secrets.token_hex(8)
lock = process.Lock(name)
tried, has_tried = os.pipe()
other = Other(process._path(name), f'''
moves_in(any)
assert lock.acquire(timeout=60)
let_go()
os.read({tried}, 1)
print("held:", lock.locked(), lock.abandoned, flush=True)
lock.release()
''')
print("taken twice:", lock.acquire(False), flush=True)
os.write(has_tried, b" ")
print(other.end())
process.unlink(name)
"""


def test_other_interpreter_keeps_the_lock(python, check):
    check(python(PROGRAM, timeout=60), "taken twice: False\nheld: True False\n[None]\n")
