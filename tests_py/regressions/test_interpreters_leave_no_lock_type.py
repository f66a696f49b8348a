"""An interpreter frees its lock type even if its last lock dies late.

The module had no m_free, so only the garbage collector freed its state. An interpreter whose last
lock outlived the last collection leaked the type and its methods.
"""

from __future__ import annotations

PROGRAM = """
import sys
try:
    import _interpreters as interpreters
    options = {}
except ImportError:
    import _xxsubinterpreters as interpreters
    options = {'isolated': sys.version_info >= (3, 12)}  # which allows threads in every version
code = f'''
import golock, threading, _thread
lock = {sys.argv[1]}.allocate_lock()
def work():
    lock.locked()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
'''
def blocks(rounds):
    before = sys.getallocatedblocks()
    for _ in range(rounds):
        interpreter = interpreters.create(**options)
        assert interpreters.run_string(interpreter, code) is None
        interpreters.destroy(interpreter)
    return (sys.getallocatedblocks() - before) / rounds
blocks(3)
print(blocks(20))
"""


def test_ended_interpreters_leave_as_little_as_with_the_interpreters_own_lock(python):
    left = {}
    for module in "golock", "_thread":
        result = python(PROGRAM, module)
        assert (result.returncode, result.stderr) == (0, "")
        left[module] = float(result.stdout)
    assert left["golock"] < left["_thread"] + 3, left
