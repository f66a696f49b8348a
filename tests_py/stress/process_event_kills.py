"""Processes that set, clear and wait for one event, and are killed at random.

Usage: python process_event_kills.py WAITERS KILLS

Waiters wait again and again. A setter sets and clears the event until it is killed. When it is
dead, no waiter may sleep on if the event is set, or was set since it began to wait: then it sleeps
on an old word. Every tenth kill takes a waiter as well. Prints a line of JSON with the counts.
Exits with 1 when a waiter sleeps that should not.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from children import FUTEX_WAIT_BITSET
from golock.process import Event
from waiting import FUTEX, wait_until

WORD = 128
"""Where the page has the event's word."""


class Contest:
    def __init__(self, waiters: int) -> None:
        self.event = Event()
        self.page = mmap.mmap(self.event._descriptor(), 0)
        self.waits = memoryview(mmap.mmap(-1, 8 * waiters)).cast("q")
        self.pids = [self.waiter(me) for me in range(waiters)]
        self.flashes = memoryview(mmap.mmap(-1, 8)).cast("q")

    def waiter(self, me: int) -> int:
        pid = os.fork()
        if pid == 0:
            while True:
                self.event.wait()
                self.waits[me] += 1
        return pid

    def setter(self) -> int:
        pid = os.fork()
        if pid == 0:
            while True:
                self.event.set()
                self.event.clear()
                self.flashes[0] += 1
        return pid

    def sleeps_on(self, me: int) -> int | None:
        """Return the word that a waiter sleeps on, or None."""
        call = Path(f"/proc/{self.pids[me]}/syscall").read_text().split()
        if call[0] != FUTEX or int(call[2], 16) != FUTEX_WAIT_BITSET:
            return None
        return int(call[3], 16)

    def check(self) -> None:
        """Look at the waiters while nobody changes the event."""
        if self.event.is_set():
            before = list(self.waits)
            for me, count in enumerate(before):
                wait_until(lambda me=me, count=count: self.waits[me] > count, "a waiter goes on")
            self.event.clear()
        for me in range(len(self.pids)):
            wait_until(lambda me=me: self.sleeps_on(me) is not None, "a waiter sleeps")
        word = struct.unpack_from("=I", self.page, WORD)[0]
        assert [self.sleeps_on(me) for me in range(len(self.pids))] == [word] * len(self.pids)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main(waiters: int, kills: int) -> int:
    chance = random.Random(waiters + kills)
    contest = Contest(waiters)
    try:
        for turn in range(kills):
            setter = contest.setter()
            time.sleep(chance.expovariate(1 / 0.002))
            if turn % 10 == 0:
                me = chance.randrange(waiters)
                contest.kill(contest.pids[me])
                contest.pids[me] = contest.waiter(me)
            contest.kill(setter)
            contest.check()
    finally:
        for pid in contest.pids:
            contest.kill(pid)
    counts = {"kills": kills, "sets": contest.flashes[0], "waits": sum(contest.waits)}
    print(json.dumps(counts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
