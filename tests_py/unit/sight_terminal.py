"""A program in a terminal of its own, which the tests read and type into."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time

import pyte


class Terminal:
    """Runs a command in a pseudo-terminal of this size."""

    def __init__(self, command, width=100, height=24, **environment):
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self.status = None
        self._process, self._master = pty.fork()
        if self._process == 0:
            try:
                self._set_size(0, width, height)
                # Curses would take these for the size; pytest-xdist sets them.
                inherited = {
                    name: value
                    for name, value in os.environ.items()
                    if name not in ("COLUMNS", "LINES")
                }
                os.execvpe(command[0], command, {**inherited, "TERM": "linux", **environment})
            finally:
                os._exit(127)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self._process, 9)
            os.waitpid(self._process, 0)
        os.close(self._master)

    @staticmethod
    def _set_size(descriptor, width, height):
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        """Change the size, as a user does."""
        self.screen.resize(height, width)
        self._set_size(self._master, width, height)

    def type(self, keys):
        os.write(self._master, keys.encode())

    @property
    def text(self):
        return "\n".join(self.screen.display)

    def colours(self, text):
        """Return the colours of the line that has a text."""
        row = next(index for index, line in enumerate(self.screen.display) if text in line)
        return {self.screen.buffer[row][column].fg for column in range(self.screen.columns)}

    def _read(self, seconds):
        """Show what comes within some time; return False at the end."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                return False
            self._stream.feed(data)
            return bool(data)
        return True

    def until(self, text, gone=False):
        """Read until the screen shows a text, or does not any more."""
        deadline = time.monotonic() + 30
        while (text in self.text) is gone:
            assert time.monotonic() < deadline, f"not within 30 s: {text!r}\n{self.text}"
            assert self._read(0.1), f"ended without {text!r}\n{self.text}"

    def end(self):
        """Read until the program ends, and return its exit status."""
        while self._read(30):
            pass
        _, status = os.waitpid(self._process, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status
