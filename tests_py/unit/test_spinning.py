"""A thread whose last waits were short spins before it sleeps.

It notices what a sleeping thread would: signals, its timeout, and that its object was opened.
"""

from __future__ import annotations

import pytest

# After this a thread spins. On two processors the threads stay on different ones.
SHORT_WAITS = """
    import os, threading
    import golock

    mine, others = golock.Semaphore(0), golock.Semaphore(0)

    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[:1])

    def answer():
        os.sched_setaffinity(0, processors[1:] or processors)
        while True:
            others.acquire()
            mine.release()

    def make_short_waits():
        for _ in range(500):
            others.release()
            mine.acquire()

    threading.Thread(target=answer, daemon=True).start()
"""

WAITS = {
    "lock": "lock = golock.Lock(); lock.acquire(); wait = lock.acquire",
    "semaphore": "wait = golock.Semaphore(0).acquire",
    "event": "wait = golock.Event().wait",
    "condition": "condition = golock.Condition(); condition.acquire(); wait = condition.wait",
    "barrier": "wait = golock.Barrier(2).wait",
}


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_signal_handler_runs(python, check, compiled, make):
    program = f"""
    import ctypes, signal, sys
    from functools import partial
    {SHORT_WAITS}
    class Signalled(Exception):
        pass

    def handler(*_):
        raise Signalled

    signal.signal(signal.SIGUSR1, handler)
    main = ctypes.c_ulong(threading.get_ident())
    signal_after = ctypes.CDLL(sys.argv[1]).signal_after  # runs without the GIL
    go = partial(ctypes.PyDLL(sys.argv[1]).go)
    unseen = 0

    def signal_main(seen, microseconds):
        global unseen
        os.sched_setaffinity(0, processors[1:] or processors)
        signal_after(main, signal.SIGUSR1, ctypes.c_int64(microseconds * 1000))
        if not seen.wait(1):
            unseen += 1
            signal.pthread_kill(main.value, signal.SIGUSR1)

    for i in range(20):
        make_short_waits()
        {make}
        seen = threading.Event()
        other = threading.Thread(target=signal_main, args=[seen, 5 + i], daemon=True)
        other.start()
        try:
            list(map(partial.__call__, [go, partial(wait)]))
        except Signalled:
            seen.set()
        other.join()
    # A signal that arrives while the GIL is released is missed, as by the interpreter's lock.
    assert unseen < 4, unseen
    """
    check(python(program, compiled("signal_after.c")), "")
