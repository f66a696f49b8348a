"""Forked processes of a test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from waiting import FUTEX, FUTEX_WAIT_BITSET


class Child:
    """A forked process that runs a function, which may say that it is ready, and then wait."""

    def __init__(self, work):
        reader, writer = os.pipe()
        ended, end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(reader)
                os.close(end)
                self.ready = lambda: os.write(writer, b"r")
                self.pause = lambda: os.read(ended, 1)
                work(self)
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        os.close(writer)
        os.close(ended)
        self.reader, self.end = reader, end

    def wait_ready(self):
        assert os.read(self.reader, 1) == b"r"
        return self

    def go_on(self):
        os.write(self.end, b"g")

    def status(self):
        if self.pid:
            _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            os.close(self.reader)
            os.close(self.end)
            return os.waitstatus_to_exitcode(status)
        return None

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.status()

    def asleep(self):
        """Return whether its main thread sleeps on a word that processes share."""
        call = Path(f"/proc/{self.pid}/syscall").read_text().split()
        return call[0] == FUTEX and int(call[2], 16) == FUTEX_WAIT_BITSET

    def stopped(self):
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
