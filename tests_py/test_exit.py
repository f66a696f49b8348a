"""Interpreters that end while threads wait."""

from __future__ import annotations

PRELUDE = """
import os, sys, threading, time
import golock
lock = golock.allocate_lock()
def wait_asleep(thread):
    while open(f'/proc/self/task/{thread.native_id}/stat').read().rpartition(') ')[2][0] != 'S':
        time.sleep(0.001)
"""


def check(result, stdout):
    assert (result.returncode, result.stderr, result.stdout) == (0, "", stdout)


def test_daemon_threads_blocked_at_exit(python):
    check(
        python(
            PRELUDE
            + """
lock.acquire()
for acquire in [lock.acquire, lambda: lock.acquire(timeout=1000)] * 20:
    thread = threading.Thread(target=acquire, daemon=True)
    thread.start()
wait_asleep(thread)
print('end')
"""
        ),
        "end\n",
    )


def test_daemon_threads_contending_at_exit(python):
    check(
        python(
            PRELUDE
            + """
def work():
    while True:
        with lock:
            pass
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print('end')
"""
        ),
        "end\n",
    )


def test_main_thread_takes_the_lock_while_it_ends(python):
    """A waiter that will never run again is woken; the main thread must not wait for it."""
    check(
        python(
            PRELUDE
            + """
class AtEnd:
    def __del__(self, lock=lock, write=os.write):
        # Daemon threads get no GIL any more.
        for _ in range(3):
            lock.release()
            lock.acquire()
        write(1, b'end\\n')
golock.set_handoff(0)
lock.acquire()
for _ in range(3):
    thread = threading.Thread(target=lock.acquire, daemon=True)
    thread.start()
wait_asleep(thread)
time.sleep(0.01)
sys.at_end = AtEnd()
del AtEnd
"""
        ),
        "end\n",
    )


def test_threads_that_are_not_daemons_are_waited_for(python):
    check(
        python(
            PRELUDE
            + """
lock.acquire()
threading.Thread(target=lambda: (lock.acquire(), print('taken'))).start()
threading.Timer(0.05, lock.release).start()
"""
        ),
        "taken\n",
    )


def test_lock_outlives_the_modules(python):
    check(
        python(
            PRELUDE
            + """
class Holder:
    def __del__(self, lock=lock, write=os.write):
        with lock:
            write(1, b'taken\\n')
sys.holder = Holder()
"""
        ),
        "taken\n",
    )
