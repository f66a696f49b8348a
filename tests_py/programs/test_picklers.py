"""dill pickles golock's primitives as it does the interpreter's."""

from __future__ import annotations

import pytest

ORDERS = {
    "without golock": "import threading, dill",
    "dill first": "import threading, dill, golock; golock.install()",
    "dill after golock": "import threading, golock, dill; golock.install()",
    "dill after install": "import threading, golock; golock.install(); import dill",
}

USE = """
import concurrent.futures, queue
lock, taken = threading.Lock(), threading.Lock()
taken.acquire()
print([dill.loads(dill.dumps(each)).locked() for each in (lock, taken)])
rlock = threading.RLock()
with rlock, rlock:  # if it were free when loaded, it would be held
    made = dill.loads(dill.dumps(rlock))
print(made._is_owned())
made.release()
made.release()
print(made._is_owned())
"""

OBJECTS = {
    "a lock in an object": """
class Counter:
    def __init__(self):
        self.lock, self.count = threading.Lock(), 3
made = dill.loads(dill.dumps(Counter()))
with made.lock:
    print(made.count)
""",
    "Condition": """
made = dill.loads(dill.dumps(threading.Condition(threading.Lock())))
with made:
    made.notify_all()
    print(made.wait(0.001))
dill.loads(dill.dumps(threading.Condition()))
""",
    "Event": """
event = threading.Event()
event.set()
print(dill.loads(dill.dumps(event)).is_set(), dill.loads(dill.dumps(event)).wait(1))
""",
    "Semaphore": """
made = dill.loads(dill.dumps(threading.Semaphore(2)))
print([made.acquire(blocking=False) for _ in range(3)])
""",
    "BoundedSemaphore": """
made = dill.loads(dill.dumps(threading.BoundedSemaphore(1)))
try:
    made.release()
except ValueError as error:
    print(error)
print([made.acquire(blocking=False) for _ in range(2)])
""",
    "Barrier": """
made = dill.loads(dill.dumps(threading.Barrier(1)))
print(made.wait(), made.parties, made.broken)
""",
    "Queue": """
tasks = queue.Queue(2)
tasks.put(1)
made = dill.loads(dill.dumps(tasks))
made.put(2)
print(made.get(), made.get(), made.empty())
""",
    "Future": """
future = concurrent.futures.Future()
future.set_result(5)
print(dill.loads(dill.dumps(future))._result)
""",
}


@pytest.fixture
def same(python):
    pytest.importorskip("dill")

    def same(order, program):
        plain = python(ORDERS["without golock"] + USE + program)
        if plain.returncode != 0:
            pytest.skip("fails without golock too")
        assert plain.stderr == ""
        on_golock = python(ORDERS[order] + USE + program)
        assert (on_golock.returncode, on_golock.stderr) == (0, "")
        assert on_golock.stdout == plain.stdout

    return same


@pytest.mark.parametrize("order", list(ORDERS)[1:])
def test_locks(same, order):
    same(order, "")


@pytest.mark.parametrize("program", OBJECTS)
def test_objects(same, program):
    same("dill first", OBJECTS[program])


def test_locks_made_before_install_and_after_uninstall(python, check):
    pytest.importorskip("dill")
    program = """
        import threading
        locks = [threading.Lock()]
        import golock
        golock.install()
        import dill
        locks.append(threading.Lock())
        golock.uninstall()
        locks.append(threading.Lock())
        print([dill.loads(dill.dumps(lock)).locked() for lock in locks])
    """
    check(python(program), "[False, False, False]\n")


def test_golocks_own_where_nothing_is_installed(python, check):
    pytest.importorskip("dill")
    program = """
        import dill, golock
        lock = golock.Lock()
        print(dill.loads(dill.dumps(lock)).locked())
    """
    check(python(program), "False\n")


def test_nothing_is_imported_for_it(python, check):
    program = (
        "import sys, golock; golock.install(); golock.uninstall(); print('dill' in sys.modules)"
    )
    check(python(program), "False\n")
