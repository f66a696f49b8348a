"""A handler forks during a wait, and in the child notifies the object that its thread waits at.

The child did not know of the wait until the handler returned, so the notification was lost: a
thread slept for ever at an event that was set.
"""

from __future__ import annotations

import pytest

PRELUDE = """
import os, signal, threading, warnings
import golock
# From 3.12 on, os.fork() warns when the process has threads, the core's included.
warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
condition, event, barrier = golock.Condition(), golock.Event(), golock.Barrier(2)
other_condition = golock.Condition()
pids = []

def listen(condition=condition, timeout=None):
    with condition:
        return condition.wait(timeout)

def notify(n=1):
    with condition:
        condition.notify(n)

def in_child(work, *waits):
    '''Make the waits, each in a handler that runs during the one before it. The last handler forks,
    works in the child, and both say what the waits returned.'''
    waits = list(waits)
    places = []
    def handler(signum, frame):
        places.append((frame, frame.f_lasti))
        if places[-3:] != places[-1:] * 3:
            return  # the thread is still on its way to the wait
        signal.setitimer(signal.ITIMER_REAL, 0)
        if waits:
            wait_with_a_signal()
            return
        pids.append(os.fork())
        if pids[-1] == 0:
            work()
        else:
            event.set()
            barrier.reset()
            with condition, other_condition:
                condition.notify_all()
                other_condition.notify_all()
    signal.signal(signal.SIGALRM, handler)
    answers = []
    def wait_with_a_signal():
        wait = waits.pop(0)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        try:
            answers.append(wait())
        except threading.BrokenBarrierError:
            answers.append('broken')
    wait_with_a_signal()
    os.write(1, b'%s %s\\n' % (b'parent' if pids[-1] else b'child', repr(answers).encode()))
    if pids[-1] == 0:
        os._exit(0)
    assert os.waitpid(pids[-1], 0)[1] == 0
"""


@pytest.mark.parametrize(
    ("program", "child"),
    [
        ("in_child(event.set, event.wait)", [True]),
        ("in_child(lambda: (event.set(), event.clear()), event.wait)", [True]),
        ("in_child(notify, listen)", [True]),
        ("in_child(lambda: None, lambda: listen(timeout=1))", [False]),
        ("in_child(lambda: notify(0), lambda: listen(timeout=1))", [False]),
        # The child's first wait corrects the number of waiters that was copied with the word.
        ("in_child(lambda: (listen(timeout=0.001), notify()), listen)", [True]),
        ("in_child(barrier.wait, barrier.wait)", [0]),
        ("in_child(barrier.abort, barrier.wait)", ["broken"]),
        (
            "in_child(lambda: threading.Thread(target=event.set).start(), event.wait)",
            [True],
        ),
        # A wait in the handler of another wait.
        ("in_child(lambda: notify(2), listen, listen)", [True, True]),
        ("in_child(lambda: (event.set(), notify()), listen, event.wait)", [True, True]),
        (
            "in_child(notify, lambda: listen(timeout=60), lambda: listen(other_condition, 1))",
            [False, True],
        ),
    ],
)
def test_notified(python, program, child):
    result = python(PRELUDE + program)
    assert (result.returncode, result.stderr) == (0, "")
    lines = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert lines["child"] == repr(child)
