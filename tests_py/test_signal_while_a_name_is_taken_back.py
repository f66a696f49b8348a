"""A wait at a condition names a claimant, finds that nobody sleeps, and takes the name back.

For that it waits for the GIL once more. A signal that came meanwhile went unseen, and the thread
slept on.
"""

from __future__ import annotations


def test_handler_runs_though_the_gil_is_busy(python, check):
    program = """
        import signal, threading, time
        from functools import partial
        import golock

        class Signalled(Exception):
            pass

        def handler(*_):
            raise Signalled

        signal.signal(signal.SIGALRM, handler)
        lock = golock.Lock()
        condition = golock.Condition(lock)
        stop = []

        def busy():
            while not stop:
                pass

        def leave_a_trace():
            assert not lock.acquire(timeout=0.0005)  # the word says that somebody waits

        # In C: until it is done, the other thread asks for the GIL, which it gets from the wait.
        work = partial(sum, range(500_000))
        begun = time.perf_counter()
        work()
        takes = time.perf_counter() - begun
        threading.Thread(target=busy).start()
        for i in range(40):
            with condition:
                thread = threading.Thread(target=leave_a_trace)
                thread.start()
                thread.join()
                try:
                    signal.setitimer(signal.ITIMER_REAL, takes + i % 10 / 1000)
                    list(map(partial.__call__, [work, partial(condition.wait)]))
                except Signalled:
                    pass
        stop.append(True)
    """
    check(python(program, timeout=60), "")
