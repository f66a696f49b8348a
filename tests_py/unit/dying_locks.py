"""Locks that crash, hang or lack something; what they do not change is the interpreter's."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any


class Wrapper:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        if args == (5,):
            self.met_five()
        return self._lock.acquire(*args, **kwargs)

    def met_five(self) -> None:
        pass

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Crashes(Wrapper):
    def met_five(self) -> None:
        signal.raise_signal(signal.SIGSEGV)


class Exits(Wrapper):
    def met_five(self) -> None:
        print("last words", flush=True)
        os._exit(7)


class Stops(Wrapper):
    """Stops all threads of its process."""

    def met_five(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class Hangs(Wrapper):
    def met_five(self) -> None:
        time.sleep(600)


class HangsAlways(Wrapper):
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        time.sleep(600)
        return True


class CrashesAlways(Wrapper):
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        signal.raise_signal(signal.SIGSEGV)
        return True


class Bare:
    """Acquires and releases, and has nothing else; not even a time-out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()


class Blocking:
    """Cannot be told not to block, so its state cannot be told either."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()
