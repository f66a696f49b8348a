"""Run random schedules that cannot deadlock, and see that no deadlock is called certain.

Usage: python tests_py/stress/harmless_schedules.py [--schedules 1000000] [--seed 0]

A schedule is what three threads do with some locks: take them without a limit in their order, or
with limits in any order; wait at a condition, for an event, for permits; wait in a circle that a
stranger's release ends. The main thread is one of them, and runs signal handlers meanwhile that
take locks. Some schedules begin with a fork, after which the child runs some as well. Exits with 1
if a deadlock was called certain.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import random
import signal
import sys
import threading
import time
import warnings

import golock
from golock import sight

# Waits are examined so soon, in seconds, that most of those that sleep are.
THRESHOLD = 0.0003
MEMBERS = 3
STEPS = 3
LOCKS = 5
FORK_EVERY = 2000
IN_CHILD = 20


class Signaller:
    """A thread that releases locks that others have taken, and wait for."""

    def __init__(self):
        self._locks = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        chance = random.Random(0)
        while (lock := self._locks.get()) is not None:
            time.sleep(chance.random() / 1000)
            release(lock)

    def release(self, lock):
        self._locks.put(lock)

    def end(self):
        self._locks.put(None)
        self._thread.join()


def release(lock):
    with contextlib.suppress(RuntimeError):  # a stranger has released it
        lock.release()


def released_by_a_stranger():
    lock = golock.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    return lock


class Schedule:
    """The objects of one schedule, and what may be done with them."""

    def __init__(self, signals, signaller):
        self.locks = [golock.Lock() if index % 2 else golock.RLock() for index in range(LOCKS)]
        self.condition = golock.Condition(self.locks[-1])
        self.event = golock.Event()
        self.semaphore = golock.BoundedSemaphore(2)
        self.signals = signals
        self.signaller = signaller

    def run(self, chance):
        for _ in range(STEPS):
            chance.choice(self.STEPS)(self, chance)

    def in_order(self, chance):
        with contextlib.ExitStack() as stack:
            for index in sorted(chance.sample(range(LOCKS), chance.randint(2, 3))):
                stack.enter_context(self.locks[index])
            if chance.random() < 0.2:
                time.sleep(chance.random() / 2000)

    def in_any_order(self, chance):
        taken = []
        for index in chance.sample(range(LOCKS), chance.randint(2, 3)):
            if self.locks[index].acquire(timeout=chance.random() / 1000):
                taken.append(self.locks[index])
        for lock in taken:
            lock.release()

    def in_order_and_back(self, chance):
        """Without a limit upwards; downwards with one."""
        first, second = sorted(chance.sample(range(LOCKS), 2))
        with self.locks[second]:
            if self.locks[first].acquire(timeout=chance.random() / 1000):
                self.locks[first].release()

    def await_notification(self, chance):
        with self.locks[chance.randrange(LOCKS - 1)], self.condition:
            if chance.random() < 0.5:
                self.condition.notify_all()
            self.condition.wait(chance.random() / 1000)

    def await_event(self, chance):
        with self.locks[chance.randrange(LOCKS)]:
            self.event.wait(chance.random() / 1000)
        self.event.set()
        self.event.clear()

    def take_permit(self, chance):
        """The semaphore is below all locks."""
        with self.semaphore:
            self.in_order(chance)

    def take_permit_last(self, chance):
        with self.locks[chance.randrange(LOCKS)]:
            if self.semaphore.acquire(timeout=chance.random() / 1000):
                self.semaphore.release()

    def wait_for_a_stranger(self, chance):
        """Take two signals in any order, without a limit. A stranger releases the first one."""
        first, second = chance.sample(self.signals, 2)
        first.acquire()
        self.signaller.release(first)
        second.acquire()
        self.signaller.release(second)
        release(second)
        release(first)

    def wait_for_own(self, chance):
        lock = chance.choice(self.signals)
        lock.acquire()
        self.signaller.release(lock)
        self.signaller.release(lock)
        lock.acquire()
        self.signaller.release(lock)
        release(lock)

    STEPS = (
        in_order,
        in_order,
        in_any_order,
        in_any_order,
        in_order_and_back,
        await_notification,
        await_event,
        take_permit,
        take_permit_last,
        wait_for_a_stranger,
        wait_for_own,
    )


class Members:
    """The threads that run schedules: the calling one, and others."""

    def __init__(self, seed):
        self.errors = []
        self._chances = [random.Random(f"{seed} {index}") for index in range(MEMBERS)]
        self._both = threading.Barrier(MEMBERS)
        self._schedule = None
        self._threads = [
            threading.Thread(target=self._run, args=(index,), daemon=True)
            for index in range(1, MEMBERS)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, schedule):
        self._schedule = schedule
        self._both.wait()
        self._step(0)
        self._both.wait()

    def _run(self, index):
        while True:
            self._both.wait()
            if self._schedule is None:
                return
            self._step(index)
            self._both.wait()

    def _step(self, index):
        try:
            self._schedule.run(self._chances[index])
        except BaseException as error:
            self.errors.append(error)

    def end(self):
        self._schedule = None
        self._both.wait()
        for thread in self._threads:
            thread.join()


class Told:
    """Collects deadlocks: those that are told, and those that a thread asks for all the time."""

    def __init__(self):
        self.number = 0
        self.certain = []
        self._ended = False
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __call__(self, found):
        if isinstance(found, sight.Deadlock):  # and no circle in the order of locks
            self.number += 1
            if found.certain:
                self.certain.append(str(found))

    def begin(self):
        self._thread.start()

    def _look(self):
        while not self._ended:
            for deadlock in sight.deadlocks():
                self(deadlock)
            time.sleep(0.0003)

    def end(self):
        self._ended = True
        self._thread.join()


def run(schedules, seed=0, until=float("inf"), forks=True, level="owners"):
    """Run so many schedules, or until that time of time.monotonic().

    Returns the number of schedules, and what was told.
    """
    told = Told()
    sight.start(level, on_deadlock=told, threshold=THRESHOLD)
    told.begin()
    members, signaller = Members(seed), Signaller()
    signals = [released_by_a_stranger() for _ in range(3)]
    done = 0
    while done < schedules and time.monotonic() < until and not told.certain:
        if forks and done % FORK_EVERY == FORK_EVERY - 1:
            run_in_child(seed + done, told, level)
        schedule = Schedule(signals, signaller)
        for handled in HANDLED:
            handled.schedule = schedule
        members.run(schedule)
        if members.errors:
            raise members.errors[0]
        done += 1
    members.end()
    signaller.end()
    told.end()
    sight.stop()
    return done, told


def run_in_child(seed, told, level):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside other threads
        child = os.fork()
    if child == 0:
        status = 2
        try:
            _, its = run(IN_CHILD, seed, forks=False, level=level)
            status = int(bool(its.certain))
            sys.stderr.write("\n".join(its.certain))
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status != 0:
        told.certain.append(f"in a child: status {status}")


class Handler:
    """Takes locks in a signal handler, with limits: the main thread may hold any."""

    def __init__(self):
        self.schedule = None
        self._chance = random.Random(1)
        self._depth = 0

    def __call__(self, *_):
        if self.schedule is not None and self._depth < 2:
            self._depth += 1
            try:
                self.schedule.in_any_order(self._chance)
            finally:
                self._depth -= 1


HANDLED = [Handler()]


@contextlib.contextmanager
def signals_arrive():
    """Send SIGALRM every few milliseconds."""
    before = signal.signal(signal.SIGALRM, HANDLED[0])
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    with signals_arrive():
        done, told = run(options.schedules, options.seed, time.monotonic() + options.seconds)
    print(
        f"{done} schedules, {told.number} told, {len(told.certain)} certain; "
        f"the core is {'' if golock._golock.core()['loaded'] else 'not '}loaded"
    )
    print("\n".join(told.certain))
    return int(bool(told.certain))


if __name__ == "__main__":
    sys.exit(main())
