"""Fork again and again while threads fight for locks, from the main thread and from others in turn,
and use the locks in the children.

    python tests_py/forks.py [NUMBER]

Prints how many children ended well. A child that hangs is ended after ten minutes, and the
parent fails; one that hangs itself is ended too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings

import golock

LIMIT = 600  # seconds
ROUNDS = 10


def take_turns(*, threads: int = 3) -> None:
    """Contend for a new object of each kind."""
    lock, entered, permits = golock.Lock(), golock.RLock(), golock.Semaphore(2)
    condition, turns = golock.Condition(), 0

    def work() -> None:
        nonlocal turns
        for _ in range(ROUNDS):
            with lock, entered, permits, condition:
                time.sleep(0)
                turns += 1
                condition.notify_all()
        with condition:
            condition.wait_for(lambda: turns == threads * ROUNDS)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def in_child(held: list[golock.LockType]) -> int:
    """Return the exit status of a child that releases what its parent's thread held."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(LIMIT)
            for lock in held:
                lock.release()
                with lock:
                    pass
            take_turns()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(number: int) -> int:
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    locks = [golock.Lock() for _ in range(3)]
    ended: list[int] = []
    over = golock.Event()

    def fight() -> None:
        while not over.is_set():
            for lock in locks:
                with lock:
                    time.sleep(0)

    def fork() -> None:
        for lock in locks:
            lock.acquire()
        status = in_child(locks)
        for lock in locks:
            lock.release()
        ended.append(status)

    fighters = [threading.Thread(target=fight) for _ in range(3)]
    for fighter in fighters:
        fighter.start()
    for turn in range(number):
        signal.alarm(2 * LIMIT)
        if turn % 2 == 0:
            fork()
        else:
            forker = threading.Thread(target=fork)
            forker.start()
            forker.join()
    over.set()
    for fighter in fighters:
        fighter.join()
    take_turns()
    print(f"{ended.count(0)} of {number} children ended well")
    return 0 if ended == [0] * number else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
