"""The Go side of the tests in which goroutines and Python threads share a lock, built by gopy."""

from __future__ import annotations

import gc
from contextlib import contextmanager

from gopy_counter import peer

import golock

# They would wait for Go's collector, in forked children for ever: examples/gopy_counter/count.py.
gc.callbacks[:] = [
    callback
    for callback in gc.callbacks
    if not getattr(callback, "__module__", "").startswith("gopy_counter.")
]


@contextmanager
def shared_lock():
    """A lock and its peer in Go, whose goroutines have ended afterwards and let go of the lock."""
    lock = golock.Lock()
    with golock.shared(lock) as address:
        goroutines = peer.NewPeer(address)
        yield lock, goroutines
        goroutines.Join(60)
        assert not lock.locked()
