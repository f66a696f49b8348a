"""During a wait, a signal handler loops until a thread has used the same object.

Without a GIL the waits of conditions, events and semaphores held the object's critical section
while handlers ran. A handler that called nothing that releases it looped for ever.
"""

from __future__ import annotations

import pytest

PROGRAM = """
import signal, sys, threading
import golock
waited = eval(sys.argv[1])
if isinstance(waited, golock.Condition):
    waited.acquire()
    wait = waited.wait
elif isinstance(waited, golock.Semaphore):
    def wait(timeout):
        return waited.acquire(timeout=timeout)
else:
    wait = waited.wait
done, places = [], []
def handler(signum, frame):
    places.append(frame.f_lasti)
    if places[-2:] != places[-1:] * 2:
        return  # the main thread does not wait yet
    signal.setitimer(signal.ITIMER_REAL, 0)
    threading.Thread(target=lambda: done.append(vars(waited)), daemon=True).start()
    while not done:
        pass
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
while not done:
    print(wait(0.2))
"""

BROKEN = """try:
        wait(0.2)
    except threading.BrokenBarrierError:
        print(False)
        if not done:
            waited.reset()"""


@pytest.mark.parametrize(
    "kind", ["golock.Condition()", "golock.Event()", "golock.Semaphore(0)", "golock.Barrier(2)"]
)
def test_handler_waits_for_a_thread_that_opens_the_object(python, kind):
    if kind == "golock.Barrier(2)":
        program = PROGRAM.replace("print(wait(0.2))", BROKEN)
    else:
        program = PROGRAM
    result = python(program, kind, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert set(result.stdout.split()) == {"False"}
