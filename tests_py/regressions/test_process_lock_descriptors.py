"""Descriptors of pages that an object no longer needs are closed."""

from __future__ import annotations

import copy
import gc
import os
from pathlib import Path

import pytest

from golock.process import Lock

# From 3.12 on, os.fork() warns when the process has threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def pages():
    """Return how many descriptors of pages this process has open."""
    gc.collect()
    Lock()  # when it goes, so do the pages that nobody uses any more
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(fd.readlink()))
        except FileNotFoundError:  # that of the listing
            continue
    return sum("memfd:golock" in link for link in links)


@pytest.fixture(params=["1", "0"], ids=["sentinel", "byte locks"], autouse=True)
def sentinel(request, monkeypatch):
    monkeypatch.setenv("GOLOCK_SENTINEL", request.param)


def test_lock_that_is_sent_to_a_process_that_has_it():
    """Without a sentinel it could not close a second descriptor while it uses the lock."""
    lock = Lock()
    with lock:
        pass
    copies = [copy.copy(lock)]
    before = pages()
    copies += [copy.copy(lock) for _ in range(50)]
    assert pages() <= before
    with copies[-1]:
        assert lock.locked()


def test_second_descriptor_of_a_page_in_use():
    before = pages()
    lock = Lock()
    with lock:
        pass
    for _ in range(50):
        Lock._adopt(os.dup(lock._descriptor()), "tell")
    del lock
    assert pages() <= before


def test_lock_that_another_process_releases():
    """Its last object has gone while it was held."""
    before = pages()
    for _ in range(50):
        lock = Lock()
        lock.acquire()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)  # the parent has dropped its object
            lock.release()
            os._exit(0)
        os.close(reader)
        del lock
        os.close(writer)
        assert os.waitpid(pid, 0)[1] == 0
    del_me = Lock()
    del del_me
    assert pages() <= before


def test_held_lock_that_no_other_process_has():
    """It goes with its last object, as other locks do."""
    before = pages()
    for _ in range(50):
        Lock().acquire()
    assert pages() <= before


def test_held_lock_of_a_descriptor_that_was_given_away():
    lock = Lock()
    lock.acquire()
    given = os.dup(lock._descriptor())
    del lock
    Lock()  # when it goes, so do the pages that nobody uses any more
    again = Lock._adopt(given, "tell")
    assert again.locked()
    again.release()
