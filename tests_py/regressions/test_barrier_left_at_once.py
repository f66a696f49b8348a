"""No thread counts as waiting at a barrier once the first of its round has left.

Without a GIL the last to arrive removed the waiters from the list one by one. The first of them
could leave and still find the rest in ``n_waiting``.
"""

from __future__ import annotations

import threading

import pytest

import golock

PARTIES = 8
ROUNDS = 50


@pytest.mark.parametrize("end", ["trip", "reset", "abort"])
def test_nobody_waits_once_the_first_goes_on(end: str) -> None:
    barrier, left = golock.Barrier(PARTIES), threading.Barrier(PARTIES)
    seen: set[int] = set()

    def arrive(last: bool) -> None:
        for _ in range(ROUNDS):
            if last and end != "trip":
                while barrier.n_waiting < PARTIES - 1:
                    pass
                getattr(barrier, end)()
            else:
                try:
                    barrier.wait()
                except threading.BrokenBarrierError:
                    assert end != "trip"
            seen.add(barrier.n_waiting)
            left.wait()
            if last:
                barrier.reset()
            left.wait()

    threads = [threading.Thread(target=arrive, args=(not i,)) for i in range(PARTIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0}
