"""Gives tests a lock that goroutines and Python threads share; gopy builds the Go side."""

from __future__ import annotations

import gc
from contextlib import contextmanager

from gopy_counter import peer

import golock

# In a forked child they would wait for ever: examples/gopy_counter/count.py says why.
gc.callbacks[:] = [
    callback
    for callback in gc.callbacks
    if not getattr(callback, "__module__", "").startswith("gopy_counter.")
]


@contextmanager
def shared_lock():
    """Yield a lock and its peer in Go; wait for the goroutines, and check that the lock is free."""
    lock = golock.Lock()
    with golock.shared(lock) as address:
        goroutines = peer.NewPeer(address)
        yield lock, goroutines
        goroutines.Join(60)
        assert not lock.locked()
