"""A thread that used an offered core to wait calls the same Go runtime directly.

The runtime had given the thread a signal stack, and golock removed it. The signal that preempts
goroutines then ended the process.
"""

from __future__ import annotations


def test_go_interrupts_a_thread_that_has_waited(python, check):
    result = python(
        """
        import threading
        import golock
        from gopy_counter import counter, peer

        golock.use_core(counter.Core())
        lock = golock.Lock()

        def wait_and_call():
            assert not lock.acquire(timeout=0.001)
            peer.Spin(0.05)

        with lock:
            for _ in range(3):
                thread = threading.Thread(target=wait_and_call)
                thread.start()
                thread.join()
        print("all ended")
        """
    )
    check(result, "all ended\n")
