"""Two locks of one anonymous page are arguments of one child."""

from __future__ import annotations

import copy
import multiprocessing

import pytest

from golock.process import Lock

# From 3.12 on, os.fork() warns when the process has threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def look(lock, same, answer):
    with lock:
        answer.send(same.locked())
    with same:
        answer.send(lock.locked())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_two_locks_of_a_page(method):
    context = multiprocessing.get_context(method)
    lock = Lock()
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=look, args=(lock, copy.copy(lock), sender))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert [receiver.recv(), receiver.recv()] == [True, True]
    assert not lock.locked()
