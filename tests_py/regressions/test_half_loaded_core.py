"""A dlopen that runs out of memory late leaves the core mapped, but its runtime not started.

The next dlopen returned this library without calling its constructors, and the first call into it
waited for the runtime for ever, with the GIL.
"""

from __future__ import annotations


def test_load_after_loads_that_ran_out_of_memory(python, out_of_memory):
    result = python(
        """
import ctypes, os, warnings
import golock
warnings.simplefilter('ignore')
library = ctypes.CDLL(None)
left = ctypes.c_long.in_dll(library, 'allocations_left')
lasting = ctypes.c_int.in_dll(library, 'lasting')
def child(number):
    lock = golock.allocate_lock()
    lock.acquire()
    lasting.value = True
    left.value = number
    try:
        lock.acquire(timeout=0.001)
    except (MemoryError, golock.CoreError):
        left.value = -1
    left.value = -1
    assert lock.locked()
    assert not lock.acquire(timeout=0.001)
for number in range(40):
    pid = os.fork()
    if pid == 0:
        child(number)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, number
""",
        env=out_of_memory,
        timeout=100,
    )
    assert (result.returncode, result.stderr) == (0, "")
