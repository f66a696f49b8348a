"""An object shared with code outside Python cannot be opened, and vice versa."""

from __future__ import annotations

import pytest

import golock
from waiting import asleep_in_kernel, join, start, wait_until

EACH = pytest.mark.parametrize(
    ("make", "field"),
    [
        (golock.Semaphore, "_cond"),
        (golock.BoundedSemaphore, "_cond"),
        (golock.Event, "_cond"),
    ],
    ids=["Semaphore", "BoundedSemaphore", "Event"],
)


@EACH
def test_opening_is_refused(make, field):
    it = make()
    with golock.shared(it):
        with pytest.raises(RuntimeError, match="shared"):
            getattr(it, field)
        with pytest.raises(RuntimeError, match="shared"):
            vars(it)
        with pytest.raises(RuntimeError, match="shared"):
            setattr(it, field, None)


@EACH
def test_sharing_is_refused(make, field):
    it = make()
    assert getattr(it, field)
    with pytest.raises(TypeError, match="cannot share"), golock.shared(it):
        pass


def test_initialized_again_wakes_all_who_wait():
    event, got = golock.Event(), []
    with golock.shared(event):
        waiters = [start(lambda: got.append(event.wait())) for _ in range(3)]
        wait_until(lambda: all(map(asleep_in_kernel, waiters)), "asleep")
        event.__init__()
        assert not event.is_set()
        event.set()
        join(waiters)
        event.__init__()
        assert not event.is_set()
    assert got == [True] * 3
