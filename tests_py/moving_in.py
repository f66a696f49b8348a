"""A thread that moves into a slot of a lock across processes, and is held up on the way.

Meanwhile a thread of another interpreter, which has a GIL of its own, does something. golock.sight
holds the first one up: it asks the library of a lock in etcd, which does not answer until told.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import _interpreters

from golock import _golock, sight
from waiting import start, wait_until

# Has the lock, and what the code needs to wait: `moves_in` until the page has the first thread, and
# `is_held_up` until that thread can go no further. `let_go` lets it.
PRELUDE = """
import os
from pathlib import Path
from golock import _golock
from waiting import FUTEX, wait_until

lock = _golock.ProcessLock({path!r}, {device}, {inode}, -1, False)
page = open({path!r}, "rb", 0)

def moves_in(has_moved):
    os.write({ready}, b" ")
    wait_until(lambda: has_moved(os.pread(page.fileno(), 4, 256)), "moves in")
    call = Path("/proc/self/task/{main}/syscall")
    wait_until(lambda: call.read_text().split()[0] == FUTEX, "is held up")

def let_go():
    os.eventfd_write({held}, 1)
"""


class Other:
    """The other interpreter. Its code waits in moves_in for this thread to use the lock."""

    def __init__(self, path: str, code: str) -> None:
        self._problems: list[object] = []
        held = os.eventfd(0)
        sight.start("waits")
        self._slow = _golock.KnownLock("slow")
        answer = ctypes.cast(ctypes.CDLL(None).eventfd_read, ctypes.c_void_p).value
        self._slow.ask(answer, held)
        looks = start(_golock.sight_image)

        def asked() -> bool:
            call = Path(f"/proc/self/task/{looks.native_id}/syscall").read_text(encoding="ascii")
            return call.split()[1:2] == [hex(held)]

        wait_until(asked, "the library is asked")
        is_ready, ready = os.pipe()
        found = Path(path).stat()
        prelude = PRELUDE.format(
            path=path,
            device=found.st_dev,
            inode=found.st_ino,
            ready=ready,
            main=threading.get_native_id(),
            held=held,
        )
        self._interpreter = _interpreters.create()
        self._thread = start(self._run, prelude + code)
        os.read(is_ready, 1)

    def _run(self, code: str) -> None:
        self._problems.append(_interpreters.exec(self._interpreter, code))

    def end(self) -> list[object]:
        """Wait until its code has ended, and return what it raised: [None]."""
        self._thread.join()
        _interpreters.destroy(self._interpreter)
        return self._problems
