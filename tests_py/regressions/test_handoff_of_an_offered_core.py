"""A Go program that offers its core keeps its hand-off threshold.

Each Python thread's first wait reset it to the default of the Python side.
"""

from __future__ import annotations

import pytest

PROGRAM = """
import threading
import golock
from gopy_counter import counter, peer

{first}
peer.SetHandoff(0.25)
golock.use_core(counter.Core())
lock = golock.Lock()
with lock:
    thread = threading.Thread(target=lock.acquire, args=(True, 0.001))
    thread.start()
    thread.join()
    lock.acquire(timeout=0.001)
print(peer.HandoffAfter())
golock.set_handoff(0.5)
print(peer.HandoffAfter())
"""


@pytest.mark.parametrize(("first", "threshold"), [("", 0.25), ("golock.set_handoff(0.125)", 0.125)])
def test_the_threshold_of_an_offered_core(python, check, first, threshold):
    check(python(PROGRAM.format(first=first)), f"{threshold}\n0.5\n")
