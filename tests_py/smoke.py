"""What every installation must do: contend, fork, be interrupted, and install and uninstall."""

import os
import platform
import signal
import sys
import threading

import golock
from golock._golock import core

lock = golock.Lock()
lock.acquire()
thread = threading.Thread(target=lambda: lock.acquire() and lock.release())
thread.start()
assert not lock.acquire(timeout=0.05)
lock.release()
thread.join()
assert core()["loaded"]
assert not lock.locked()

child = os.fork()
if child == 0:
    os._exit(0 if lock.acquire(timeout=1) else 1)
assert os.waitpid(child, 0)[1] == 0


def interrupt(*_: object) -> None:
    raise InterruptedError


signal.signal(signal.SIGALRM, interrupt)
lock.acquire()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    lock.acquire()
except InterruptedError:
    golock.install()
    assert golock.installed()
    assert type(threading.Lock()) is type(lock)
    golock.uninstall()
    assert type(threading.Lock()) is not type(lock)
    if "t" in sys.abiflags:
        assert not sys._is_gil_enabled()
    print(f"it works on {platform.python_version()}{sys.abiflags}")
