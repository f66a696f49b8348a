"""Several instances or copies of the package: each can restore everything."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

import golock

PRELUDE = """
    import importlib, sys, threading, _thread, functools, tempfile, multiprocessing.dummy
    def stands():
        return {(module.__name__, name): value
                for module in (_thread, threading, functools, tempfile, multiprocessing.dummy)
                for name, value in vars(module).items() if name != '__warningregistry__'}
    before = stands()
    def reimport():
        for name in [name for name in sys.modules if name.partition('.')[0] == 'golock']:
            del sys.modules[name]
        return importlib.import_module('golock')
"""


@pytest.mark.parametrize("order", list(itertools.permutations("ab")), ids="".join)
@pytest.mark.parametrize("last", "ab")
def test_two_instances(python, check, order, last):
    code = """
    a, b = reimport(), reimport()
    a.install()
    b.install()
    print(a is not b, a.installed(), b.installed(), type(threading.Event()) is b.Event)
    for each in sys.argv[1]:
        globals()[each].uninstall()
        print(stands() == before, a.installed(), b.installed())
    globals()[sys.argv[2]].install()
    print(type(threading.Event()) is globals()[sys.argv[2]].Event)
    a.uninstall()
    print(stands() == before)
    """
    printed = "True True True True\nTrue False False\nTrue False False\nTrue\nTrue\n"
    check(python(PRELUDE + code, "".join(order), last), printed)


def test_many_instances(python, check):
    """More instances than an interpreter has dict watchers."""
    code = """
    instances = [reimport() for _ in range(12)]
    for instance in instances:
        instance.install()
        assert type(threading.Event()) is instance.Event
    instances[3].uninstall()
    print(stands() == before)
    """
    check(python(PRELUDE + code), "True\n")


def test_a_copy_on_disk(python, check, tmp_path):
    shutil.copytree(Path(golock.__file__).parent, tmp_path / "golock")
    code = """
    a = reimport()
    sys.path.insert(0, sys.argv[1])
    b = reimport()
    a.install()
    b.install()
    print(a.__file__ != b.__file__, type(threading.Lock()) is b.LockType)
    import _strptime
    a.uninstall()
    print(stands() == before, _strptime._thread_allocate_lock is _thread.allocate_lock)
    """
    check(python(PRELUDE + code, str(tmp_path)), "True True\nTrue True\n")


def test_reimported_while_installed(python, check):
    code = """
    reimport().install()
    golock = reimport()
    print(golock.installed(), type(threading.Lock()) is golock.LockType)
    golock.uninstall()
    print(golock.installed(), stands() == before)
    """
    check(python(PRELUDE + code), "True False\nFalse True\n")


def test_reloaded(python, check):
    code = """
    import golock
    golock.install()
    for module in (golock._install, golock, tempfile, functools):
        importlib.reload(module)
    print(golock.installed(), tempfile._allocate_lock is golock.allocate_lock)
    golock.uninstall()
    print(golock.installed(), tempfile._allocate_lock is functools.RLock is None,
          tempfile._allocate_lock is _thread.allocate_lock, functools.RLock is _thread.RLock,
          before['_thread', 'RLock'] is _thread.RLock)
    """
    check(python(PRELUDE + code), "True True\nFalse False True True True\n")


def test_reimported_modules(python, check):
    """Both the old and the new module are restored, also under another name."""
    code = """
    import golock
    golock.install()
    old = sys.modules.pop('tempfile')
    import tempfile as new
    sys.modules['renamed'] = sys.modules.pop('tempfile')
    sys.modules['tempfile'] = old
    print(old is not new, new._allocate_lock is golock.allocate_lock)
    golock.uninstall()
    print({old._allocate_lock, new._allocate_lock} == {_thread.allocate_lock})
    """
    check(python(PRELUDE + code), "True True\nTrue\n")


def test_what_somebody_puts_back_later(python, check):
    code = """
    import golock
    golock.install()
    golocks = threading.Lock
    threading.Lock = len
    golock.uninstall()
    print(threading.Lock)
    threading.Lock = golocks
    print(golock.installed())
    golock.uninstall()
    print(stands() == before)
    """
    check(python(PRELUDE + code), "<built-in function len>\nFalse\nTrue\n")


def test_replaced_by_somebody_before_a_module_was_imported(python, check):
    code = """
    import threading, golock, sys
    original = threading.Condition
    golock.install()
    import multiprocessing.dummy
    class Condition: pass
    threading.Condition = Condition
    golock.uninstall()
    print(multiprocessing.dummy.Condition is original, threading.Condition is Condition)
    """
    check(python(PRELUDE + code), "True True\n")


def test_lazy_modules_stay_unloaded(python, check, tmp_path):
    (tmp_path / "lazy.py").write_text("print('loaded')")
    code = """
    import importlib.util, sys, golock
    sys.path.insert(0, sys.argv[1])
    spec = importlib.util.find_spec('lazy')
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules['lazy'] = module
    spec.loader.exec_module(module)
    golock.install()
    golock.uninstall()
    """
    check(python(PRELUDE + code, str(tmp_path)), "")


def test_threads_race(python, check):
    code = """
    instances = [reimport() for _ in range(4)]
    start = _thread.start_new_thread
    done = [_thread.allocate_lock() for _ in instances]
    def race(instance, lock):
        for _ in range(100):
            instance.install()
            instance.uninstall()
        lock.release()
    for instance, lock in zip(instances, done):
        lock.acquire()
        start(race, (instance, lock))
    for lock in done:
        lock.acquire()
    print(stands() == before, any(instance.installed() for instance in instances))
    """
    check(python(PRELUDE + code), "True False\n")


def test_forked_while_another_instance_installs(python, check):
    code = """
    import os, signal, warnings
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    a, b = reimport(), reimport()
    with a._install._guard:
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            b.install()
            a.uninstall()
            os._exit(0 if threading.Event is before['threading', 'Event'] else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    check(python(PRELUDE + code), "0\n")


def test_subinterpreters_have_their_own(python, check):
    code = """
    import threading, golock
    interpreters = None
    for name in ('_interpreters', '_xxsubinterpreters'):
        try:
            interpreters = __import__(name)
            break
        except ImportError:
            pass
    golock.install()
    identifier = interpreters.create()
    interpreters.run_string(identifier, 'import golock; print(golock.installed(), flush=True)')
    print(golock.installed(), flush=True)
    interpreters.destroy(identifier)
    """
    check(python(PRELUDE + code), "False\nTrue\n")


def test_what_passes_for_a_module_is_left_alone(python, check):
    """Libraries loaded by cffi pass for modules and have no ``__dict__``."""
    result = python(
        """
        import sys, threading, types

        class Library:
            __slots__ = ()
            __class__ = types.ModuleType

        sys.modules["made by cffi"] = Library()
        import golock
        event = threading.Event
        golock.install()
        golock.uninstall()
        print(threading.Event is event)
        """
    )
    check(result, "True\n")
