"""Locks with one fault each, which the contention battery must find; `Sound` has none."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from itertools import count
from typing import Any


class Sound:
    """A lock over a condition, without a fault; the others change one thing."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        with self._changed:
            end = time.monotonic() + timeout
            while self._held:
                left = end - time.monotonic()
                if not blocking or (timeout >= 0 and left <= 0):
                    return False
                self._wait(None if timeout < 0 else left)
            self._held = True
            return True

    def _wait(self, seconds: float | None) -> None:
        self._changed.wait(seconds)

    def release(self) -> None:
        with self._changed:
            if not self._held:
                raise RuntimeError("release unlocked lock")
            self._held = False
            self._wake()

    def _wake(self) -> None:
        self._changed.notify()

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class AdmitsTwo(Sound):
    """Admits a second owner one time in 200."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = count(1)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if next(self._calls) % 200 == 0:
            return True
        return super().acquire(blocking, timeout)

    def release(self) -> None:
        with self._changed:
            self._held = False
            self._wake()


class LosesWakeUp(Sound):
    """Forgets one wake-up in 97, which no number of threads divides."""

    def __init__(self) -> None:
        super().__init__()
        self._wakes = count(1)

    def _wake(self) -> None:
        if next(self._wakes) % 97:
            super()._wake()


class Starves(Sound):
    """Lets the thread that came first go first, always."""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0
        self._used = 0.0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        own = threading.get_ident()
        self._first = self._first or own
        while own != self._first and time.monotonic() < self._used + 0.2:
            time.sleep(0.01)
        if own == self._first:
            self._used = time.monotonic()
        return super().acquire(blocking, timeout)


class TimesOutEarly(Sound):
    """Waits for half of the time."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return super().acquire(blocking, timeout / 2 if timeout > 0 else timeout)


class TimesOutLate(Sound):
    """Waits for 0.7 s more."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return super().acquire(blocking, timeout + 0.7 if timeout > 0 else timeout)


class RestartsTimeOut(Sound):
    """Lets those without a time-out go first, and waits the whole time again after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self._patient = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        with self._changed:
            if timeout < 0:
                self._patient += 1
                while self._held and blocking:
                    self._changed.wait()
                self._patient -= 1
                if self._held:
                    return False
            else:
                while self._held or self._patient:
                    if not self._changed.wait(timeout):
                        return False
            self._held = True
            return True

    def _wake(self) -> None:
        self._changed.notify_all()


class SwallowsWakeUp(Sound):
    """A waiter that times out while it is woken takes the wake-up with it."""

    def __init__(self) -> None:
        super().__init__()
        self._reserved = False
        self._waiting = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        with self._changed:
            if self._held or self._reserved:
                if not blocking or timeout == 0:
                    return False
                self._waiting += 1
                time.sleep(0)
                woken = self._changed.wait(None if timeout < 0 else timeout)
                self._waiting -= 1
                if not woken:
                    return False
                self._reserved = False
            self._held = True
            return True

    def release(self) -> None:
        with self._changed:
            self._held = False
            if self._waiting:
                self._reserved = True
                self._wake()


class TakesTimeOutForSuccess(Sound):
    """Says that it has the lock when the time is over."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return super().acquire(blocking, timeout) or timeout > 0


class OwnersReleaseOnly(Sound):
    """Does not wake anybody when another thread releases."""

    def __init__(self) -> None:
        super().__init__()
        self._owner = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = super().acquire(blocking, timeout)
        if taken:
            self._owner = threading.get_ident()
        return taken

    def _wake(self) -> None:
        if self._owner == threading.get_ident():
            super()._wake()


class SwallowsHandlersExceptions(Sound):
    """Waits on, whatever a signal handler raises."""

    def _wait(self, seconds: float | None) -> None:
        with suppress(Exception):
            super()._wait(seconds)


class HandlersRunLate(Sound):
    """Waits with signals blocked."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            return super().acquire(blocking, timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _InterruptedWaitError(Exception):
    pass


class EndsWaitAtSignal(Sound):
    """Returns without the lock when a signal comes."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        try:
            return super().acquire(blocking, timeout)
        except _InterruptedWaitError:
            return False

    def _wait(self, seconds: float | None) -> None:
        handler = signal.getsignal(signal.SIGUSR1)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            return super()._wait(seconds)

        def interrupt(*arguments: Any) -> None:
            handler(*arguments)
            raise _InterruptedWaitError

        signal.signal(signal.SIGUSR1, interrupt)
        try:
            super()._wait(seconds)
        finally:
            signal.signal(signal.SIGUSR1, handler)
        return None


class HangsInChild(Sound):
    """No lock works in a process that has forked from that which made the first."""

    _process = os.getpid()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        while os.getpid() != self._process:
            time.sleep(0.1)
        return super().acquire(blocking, timeout)


class FreedInChild(Sound):
    """A forked child finds every lock free."""

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if os.getpid() != self._process:
            self.__init__()  # type: ignore[misc]
        return super().acquire(blocking, timeout)


class ForgetsTheHundredth(Sound):
    """Has room for 100 waiters, and wakes no more."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeping = 0

    def _wait(self, seconds: float | None) -> None:
        self._sleeping += 1
        if self._sleeping > 100:
            threading.Condition(self._changed._lock).wait(seconds)  # type: ignore[attr-defined]
        else:
            super()._wait(seconds)
        self._sleeping -= 1


class SharedByThreads(threading._RLock):  # type: ignore[name-defined]
    """A reentrant lock that admits a second owner one time in 200."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = count(1)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return next(self._calls) % 200 == 0 or super().acquire(blocking, timeout)

    __enter__ = acquire


class OneTooMany(threading.Semaphore):
    """A semaphore that gives a permit too many one time in 200."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._calls = count(1)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return next(self._calls) % 200 == 0 or super().acquire(blocking, timeout)

    __enter__ = acquire


class LosesNotification(threading.Condition):
    """A condition that forgets one notification in 100."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(lock)
        self._notifications = count(1)

    def notify(self, n: int = 1) -> None:
        if next(self._notifications) % 100:
            super().notify(n)


class LosesSet(threading.Event):
    """An event that wakes nobody at one set in 100."""

    def __init__(self) -> None:
        super().__init__()
        self._sets = count(1)

    def set(self) -> None:
        if next(self._sets) % 100:
            super().set()
        else:
            self._flag = True


class PassesEarly(threading.Barrier):
    """A barrier that lets a thread pass by itself one time in 50."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waits = count(1)

    def wait(self, timeout: float | None = None) -> int:
        return 0 if next(self._waits) % 50 == 0 else super().wait(timeout)


class OneIndex(threading.Barrier):
    """A barrier that gives everybody the same index."""

    def wait(self, timeout: float | None = None) -> int:
        super().wait(timeout)
        return 0
