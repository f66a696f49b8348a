"""A wait at a condition names a claimant, finds that nobody sleeps, and takes the name back.

To take it back it waits for the GIL again. A signal that arrived meanwhile went unseen, and the
thread slept on.
"""

from __future__ import annotations


def test_handler_runs_though_the_gil_is_busy(python, check):
    program = """
        import ctypes, signal, sys, threading, time
        from functools import partial
        import golock

        class Signalled(Exception):
            pass

        def handler(*_):
            raise Signalled

        signal.signal(signal.SIGUSR1, handler)
        lock = golock.Lock()
        condition = golock.Condition(lock)
        main = threading.get_ident()
        # C code that keeps the GIL: the other thread requests it, and gets it from the wait.
        work = partial(ctypes.PyDLL(None).usleep, 200_000)
        sys.setswitchinterval(0.1)
        unseen = 0

        def leave_a_trace():
            assert not lock.acquire(timeout=0.0005)  # the word now announces a waiter

        def signal_main(seen):
            global unseen
            time.sleep(0.01)  # main is in its C code
            until = time.perf_counter() + 0.06
            while time.perf_counter() < until:
                pass  # main takes the name back, and waits for the GIL
            signal.pthread_kill(main, signal.SIGUSR1)
            if not seen.wait(1):
                unseen += 1
                signal.pthread_kill(main, signal.SIGUSR1)

        for i in range(5):
            seen = threading.Event()
            with condition:
                trace = threading.Thread(target=leave_a_trace)
                trace.start()
                trace.join()
                other = threading.Thread(target=signal_main, args=[seen])
                try:
                    other.start()
                    list(map(partial.__call__, [work, partial(condition.wait)]))
                except Signalled:
                    seen.set()
            other.join()
        # If main has not reached that point yet, the interpreter's wait misses the signal too.
        assert unseen < 3, unseen
    """
    check(python(program, timeout=60), "")
