"""A process lock is not pickled, or taken over, with a descriptor that is another file's by now."""

from __future__ import annotations

import os
import pickle

import pytest

from golock.process import Lock


def test_closed_descriptor_is_not_sent(tmp_path):
    lock = Lock()
    page = lock._descriptor()
    kept = os.dup(page)
    with (tmp_path / "data").open("wb+") as data:
        os.dup2(data.fileno(), page)  # as in a program that closes all descriptors
    try:
        with pytest.raises(OSError, match="descriptor of the page 'memfd:golock' was closed"):
            pickle.dumps(lock)
    finally:
        os.dup2(kept, page)
        os.close(kept)


def test_foreign_file_is_not_taken_over(tmp_path):
    data = tmp_path / "data"
    data.write_bytes(b"somebody's data" * 2000)
    fd = os.open(data, os.O_RDWR)
    with pytest.raises(OSError, match="not a page of golock's: 'memfd:golock'"):
        Lock._adopt(fd, "tell")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
