"""Processes that fight for one lock and are killed at random.

Usage: python process_kills.py WORKERS ACQUIRES KILLS START

START is fork, spawn, exec or namespaces: how the workers come to be. A worker that is killed is
replaced, until KILLS have been killed and each has acquired the lock ACQUIRES times. Prints a line
of JSON with the counts. Exits with 1 if an update was lost, or a death was not told exactly once.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

from golock.process import Lock, folder, unlink

COUNTER, INSIDE, TOLD, FOUND, WRONG, KILLED, MINE = range(7)
"""Words of the shared memory. INSIDE is 1 + the worker that is in the critical section; TOLD counts
the deaths that recover() returned, FOUND those that INSIDE showed; WRONG counts violations. KILLED
is 1 when all are killed. From MINE on each worker has the number of its own updates."""


def work(lock: Lock, words: memoryview, me: int, acquires: int) -> None:
    last = MINE + me
    while words[last] < acquires or not words[KILLED]:
        with lock:
            if lock.abandoned:
                mourn(lock, words)
            elif words[INSIDE]:
                words[WRONG] += 1
            words[INSIDE] = me + 1
            count = words[COUNTER]
            words[last] += 1
            words[COUNTER] = count + 1
            words[INSIDE] = 0


def mourn(lock: Lock, words: memoryview) -> None:
    """Repair what the dead left. It may die here itself, so it notes the death first."""
    if words[INSIDE]:
        words[FOUND] += 1
        words[INSIDE] = 0
    words[COUNTER] = sum(words[MINE:])
    words[TOLD] += lock.recover()


class Contest:
    def __init__(self, workers: int, acquires: int, start: str) -> None:
        self.acquires, self.start = acquires, start
        self.name = f"golock-kills-{os.getpid()}"
        self.path = f"/dev/shm/{self.name}.words"
        size = 8 * (MINE + workers)
        with open(self.path, "wb+") as file:  # noqa: PTH123
            file.truncate(size)
            self.words = memoryview(mmap.mmap(file.fileno(), size)).cast("q")
        self.lock = Lock(self.name) if start in {"exec", "namespaces"} else Lock()
        self.running: dict[int, object] = {}
        self.before: dict[int, int] = {}

    def works(self, me: int) -> bool:
        """Report whether a worker has made an update since it began."""
        return self.words[MINE + me] > self.before[me]

    def begin(self, me: int) -> None:
        self.before[me] = self.words[MINE + me]
        if self.start == "fork":
            pid = os.fork()
            if pid == 0:
                work(self.lock, self.words, me, self.acquires)
                os._exit(0)
            self.running[me] = pid
        elif self.start == "spawn":
            context = multiprocessing.get_context("spawn")
            process = context.Process(
                target=join, args=(self.lock, self.path, me, self.acquires), daemon=True
            )
            process.start()
            self.running[me] = process
        else:
            command = [sys.executable, __file__, "--join", self.name, self.path]
            command += [str(me), str(self.acquires)]
            if self.start == "namespaces":
                command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
            self.running[me] = subprocess.Popen(command)

    def kill(self, me: int) -> bool:
        """Kill a worker, and report whether it was still running."""
        process = self.running[me]
        if isinstance(process, int):
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            return os.WIFSIGNALED(status)
        process.kill()
        if isinstance(process, subprocess.Popen):
            return process.wait() != 0
        process.join()
        return process.exitcode != 0

    def end(self, me: int) -> bool:
        """Wait for a worker, and report whether it has done its work."""
        process = self.running[me]
        if isinstance(process, int):
            return os.waitpid(process, 0)[1] == 0
        if isinstance(process, subprocess.Popen):
            return process.wait() == 0
        process.join()
        return process.exitcode == 0

    def close(self) -> None:
        os.unlink(self.path)  # noqa: PTH108
        if self.lock.name:
            unlink(self.lock.name)


def join(lock: Lock, path: str, me: int, acquires: int) -> None:
    with open(path, "rb+") as file:  # noqa: PTH123
        words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    work(lock, words, me, acquires)


def main(workers: int, acquires: int, kills: int, start: str) -> int:
    chance = random.Random(workers + acquires + kills)
    contest = Contest(workers, acquires, start)
    began = time.monotonic()
    for me in range(workers):
        contest.begin(me)
    killed = 0
    for _ in range(kills):
        time.sleep(chance.expovariate(1 / 0.001))
        while not (working := [me for me in range(workers) if contest.works(me)]):
            time.sleep(0.001)
        me = chance.choice(working)
        killed += contest.kill(me)
        contest.begin(me)
    contest.words[KILLED] = 1
    done = sum(contest.end(me) for me in range(workers))
    seconds = time.monotonic() - began
    words = contest.words
    with contest.lock as _:
        if contest.lock.abandoned:
            mourn(contest.lock, words)
    counts = {
        "updates": words[COUNTER],
        "killed": killed,
        "told": words[TOLD],
        "inside": words[FOUND],
        "wrong": words[WRONG],
        "done": done,
        "seconds": round(seconds, 1),
    }
    contest.close()
    print(json.dumps(counts), flush=True)
    right = (
        words[WRONG] == 0
        and words[COUNTER] == sum(words[MINE:])
        and words[FOUND] <= words[TOLD] <= killed
        and done == workers
    )
    return 0 if right else 1


if __name__ == "__main__":
    folder()
    if sys.argv[1] == "--join":
        join(Lock(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main(*map(int, sys.argv[1:4]), sys.argv[4]))
