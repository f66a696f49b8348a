"""`__init__` called again while threads wait: the objects that they wait with stay alive.

A condition released one lock as if it were of another type, and an acquire slept on a lock that was
freed meanwhile. Both crashed the interpreter.
"""

from __future__ import annotations

import pytest

PRELUDE = """
import faulthandler, gc, os, sys, threading, time
import golock
from waiting import waiters
faulthandler.enable()
class Own:
    def __init__(self):
        self.lock = threading.Lock()
        self.acquire, self.release = self.lock.acquire, self.lock.release
        self.locked = self.lock.locked
        self.__enter__, self.__exit__ = self.lock.__enter__, self.lock.__exit__
makes = {
    'none': lambda: None,
    'lock': golock.allocate_lock,
    'rlock': golock.RLock,
    "interpreter's": threading.RLock,
    'own': Own,
}
def start(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread
"""

LOCKS = ["none", "lock", "rlock", "interpreter's", "own"]


@pytest.mark.parametrize("before", LOCKS)
@pytest.mark.parametrize("after", LOCKS)
def test_while_threads_wait(python, check, before, after):
    """A waiter that times out acquires the lock that it released.

    Over a lock that is not golock's, as with the interpreter's, it calls the new lock's method.
    """
    program = (
        PRELUDE
        + """
before, after = makes[sys.argv[1]], makes[sys.argv[2]]
condition, answers = eval(sys.argv[3])(before()), []
def wait(timeout):
    condition.acquire()
    try:
        answers.append(condition.wait(timeout))
    except Exception as error:
        answers.append(error)
threads = [start(lambda: wait(60)), start(lambda: wait(0.05))]
while waiters(condition) < 2 and not answers:
    time.sleep(0.001)
condition.__init__(after())
gc.collect()
while not answers:
    time.sleep(0.001)
print(repr(answers[0]))
sys.stdout.flush()
os._exit(0)  # the other waits for a lock that the first left held
"""
    )
    expected = "False\n"
    if before in ("interpreter's", "own"):
        expected = python(program, before, after, "threading.Condition").stdout
    check(python(program, before, after, "golock.Condition"), expected)


def test_while_threads_acquire(python, check):
    result = python(
        PRELUDE
        + """
condition = golock.Condition()
condition.acquire()
answers = []
threads = [start(lambda: answers.append(condition.acquire(timeout=2))) for _ in range(3)]
while any(open(f'/proc/self/task/{thread.native_id}/stat').read().rpartition(') ')[2][0] != 'S'
          for thread in threads):
    time.sleep(0.001)
condition.__init__()
gc.collect()
other = [golock.RLock() for _ in range(10000)]
for thread in threads:
    thread.join()
assert not any(lock._is_owned() for lock in other)
print(answers)
"""
    )
    check(result, "[False, False, False]\n")


def test_barrier(python, check):
    """A barrier keeps what it was made with until the wait that uses it ends. Then, as with the
    interpreter's, the lock of the new condition is not acquired.
    """
    result = python(
        PRELUDE
        + """
class Action:
    def __call__(self):
        barrier.__init__(2, Action(), Action())
        gc.collect()
class Parties:
    def __eq__(self, other):
        barrier.__init__(1, Action(), 5.0)
        gc.collect()
        return other == 1
    __hash__ = None
    def __lt__(self, other):
        return False
barrier = golock.Barrier(Parties(), Action(), 10.0)
try:
    barrier.wait()
except RuntimeError as error:
    print(error, barrier.parties)
"""
    )
    check(result, "cannot notify on un-acquired lock 2\n")
