"""A waiting thread keeps its own alternate signal stack.

A thread's first call into a Go runtime gives it an alternate stack of 32 KiB. Handlers with
SA_ONSTACK would run there, and without golock run on their thread's whole stack.
"""

from __future__ import annotations


def test_waiting_leaves_the_alternate_stack_alone(python, check):
    result = python(
        """
import ctypes, threading
import golock

class Stack(ctypes.Structure):
    _fields_ = [('start', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t)]
libc = ctypes.CDLL(None, use_errno=True)
own = ctypes.create_string_buffer(64 << 10)
def alternate(new=None):
    old = Stack()
    assert libc.sigaltstack(new and ctypes.byref(new), ctypes.byref(old)) == 0
    return old.start, old.flags, old.size

lock = golock.allocate_lock()
lock.acquire()
def wait():
    before = alternate()
    lock.acquire(timeout=0.001)
    print(before == alternate())
def wait_with_own_stack():
    alternate(Stack(ctypes.addressof(own), 0, len(own)))
    wait()
wait()
for work in wait, wait_with_own_stack, lambda: golock.set_handoff(0.001) or wait():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
    )
    check(result, "True\n" * 4)
