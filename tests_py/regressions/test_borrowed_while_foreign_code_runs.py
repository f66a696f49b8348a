"""Python code called by the extension frees objects, or changes state, that the extension uses.

Each program once crashed, unless its comment names another failure.
"""

from __future__ import annotations

import os

import pytest

from waiting import FUTEX

PRELUDE = """
import contextlib, functools, gc, golock, io, threading, time
from unittest import mock

def wait_until_asleep(thread):
    call = ''
    while call != 'FUTEX':
        time.sleep(0.001)
        with open(f'/proc/self/task/{thread.native_id}/syscall') as file:
            call = file.read().split()[0]

class Key:
    def __init__(self, name, act):
        self.name, self.act = name, act
    def __hash__(self):
        return hash(self.name)
    def __eq__(self, other):
        self.act()
        return False
""".replace("FUTEX", FUTEX)


@pytest.fixture
def passes(python, check):
    """Run a program with an allocator that overwrites freed memory; it prints 'passed'."""

    def passes(program):
        environment = {**os.environ, "PYTHONMALLOC": "debug"}
        check(python(PRELUDE + program + "\nprint('passed')", env=environment), "passed\n")

    return passes


@pytest.mark.parametrize(
    "action", ["e._cond", "e._cond = 1", "del e._cond", "vars(e)", "e.wait(0)"]
)
def test_key_replaces_the_dict_in_which_it_is_looked_up(passes, action):
    passes(
        f"""
e = golock.Event()
def act():
    e.__dict__ = {{}}
e.__dict__ = {{Key('_cond', act): 1}}
try:
    exec({action!r})
except AttributeError:
    pass
"""
    )


def test_metaclass_clears_the_arguments_of_init(passes):
    passes(
        """
class Meta(type):
    def __getattribute__(cls, name):
        for found in gc.get_objects():
            if type(found) is dict and list(found) == ['action']:
                found.clear()
        return type.__getattribute__(cls, name)
class Barrier(golock.Barrier, metaclass=Meta):
    pass
acted = []
barrier = Barrier(1, **{'action': functools.partial(acted.append, 1)})
barrier.wait()
assert acted == [1]
"""
    )


@pytest.mark.parametrize("name", ["wait", "__init__"])
@pytest.mark.parametrize("kind", ["Event()", "Barrier(2)"])
def test_opened_while_the_class_of_its_condition_is_patched(passes, kind, name):
    passes(
        f"""
waited = golock.{kind}
def wait():
    try:
        waited.wait(1)
    except threading.BrokenBarrierError:
        pass
thread = threading.Thread(target=wait)
thread.start()
wait_until_asleep(thread)
with mock.patch.object(golock.Condition, {name!r}, lambda *a, **k: None):
    waited._cond
thread.join()
"""
    )


@pytest.mark.parametrize("kind", ["Event", "Semaphore"])
def test_asked_for_by_its_address_while_it_is_deallocated(passes, kind):
    passes(
        f"""
class Asks:
    def __del__(self):
        try:
            golock._golock.at(address)
        except ValueError:
            print('gone')
class Shared(golock.{kind}):
    __slots__ = ('asks',)
shared = Shared()
address = golock._golock.address(shared)
shared.asks = Asks()
with contextlib.redirect_stdout(io.StringIO()) as said:
    del shared
assert said.getvalue() == 'gone\\n'
"""
    )


@pytest.mark.parametrize(("kind", "result"), [("Event()", "False"), ("Condition()", "False")])
def test_opened_in_a_child_that_a_handler_forks_below_the_wait(python, check, kind, result):
    # It returned True from an event that was not set, and counted -1 listeners.
    program = f"""
import golock, os, signal, sys, warnings
warnings.simplefilter('ignore')
waited = golock.{kind}
child = None
def fork(*_):
    global child
    child = os.fork()
    if child == 0:
        waited._cond if hasattr(waited, 'set') else waited._waiters
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.05)
if hasattr(waited, 'acquire'):
    waited.acquire()
answer = waited.wait(0.3)
if child == 0:
    os._exit(answer)
print(answer, os.waitpid(child, 0)[1])
"""
    check(python(program), f"{result} 0\n")


@pytest.mark.parametrize("kind", ["Condition()", "Event()"])
def test_timeout_opens_the_object_that_is_to_wait(passes, kind):
    # The waiter joined a list that nobody read any more, and hung.
    passes(
        f"""
waited = golock.{kind}
class Opens:
    def __gt__(self, other):
        vars(waited)
        return True
    def __le__(self, other):  # used by 3.14
        return not self > other
    def __index__(self):
        return 1000
    __add__ = __radd__ = lambda self, other: other + 1000
answers = []
def wait():
    if hasattr(waited, 'set'):
        answers.append(waited.wait(Opens()))
    else:
        with waited:
            answers.append(waited.wait(Opens()))
thread = threading.Thread(target=wait, daemon=True)
thread.start()
wait_until_asleep(thread)
if hasattr(waited, 'set'):
    waited.set()
else:
    with waited:
        waited.notify()
thread.join(10)
assert answers == [True], answers
"""
    )
