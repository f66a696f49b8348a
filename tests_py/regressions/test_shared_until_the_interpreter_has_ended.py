"""A shared lock outlives the interpreter, because goroutines may still use it.

The lock was freed with the module that kept it alive, and goroutines went on to use the memory of
other objects.
"""

from __future__ import annotations


def test_a_lock_that_goroutines_use_outlives_the_interpreter(python, check):
    result = python(
        """
        import ctypes
        import os
        import sys
        import golock

        lock = golock.Lock()

        class Late:
            '''Reads the header when all modules are gone.'''

            def __init__(self, address):
                self.magic = ctypes.c_uint32.from_address(address)
                self.write = os.write

            def __del__(self):
                self.write(1, b"the lock lives\\n" if self.magic.value else b"the lock is gone\\n")

        sys.late = Late(golock.shared(lock).address)
        del lock, golock, Late
        """
    )
    check(result, "the lock lives\n")
