"""install() and uninstall() change and restore every name that the standard library uses."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import threading

import pytest

import golock
from golock import _install
from golock._install import Place, places


def python(source: str) -> str:
    """Run the code in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def name_of(place: Place) -> str:
    return f"{place.module}.{place.attribute}"


@pytest.mark.parametrize("place", places(), ids=name_of)
def test_place_holds_what_the_table_says(place: Place) -> None:
    module = importlib.import_module(place.module)
    assert getattr(module, place.attribute) is _install._origin(place.origin)


@pytest.mark.parametrize(
    "place", [place for place in _install.PLACES if place not in places()], ids=name_of
)
def test_place_of_another_version_is_absent_or_listed_for_this_one(place: Place) -> None:
    module = importlib.import_module(place.module)
    listed = {(other.module, other.attribute) for other in places()}
    assert not hasattr(module, place.attribute) or (place.module, place.attribute) in listed


def test_no_other_module_of_the_standard_library_holds_a_function_or_a_type() -> None:
    """Import whatever has no side effects, and check every module's globals."""
    listed = sorted(f"{place.module}.{place.attribute}" for place in places())
    found = python("""
        import _thread, importlib, pkgutil, sys, threading, warnings
        warnings.simplefilter('ignore')
        own = {id(getattr(_thread, name)) for name in
               ('allocate_lock', 'allocate', 'LockType', 'RLock')}
        own |= {id(getattr(threading, name)) for name in
                ('Condition', 'Semaphore', 'BoundedSemaphore', 'Event', 'Barrier')}
        skipped = {'antigravity', 'this', 'idlelib', 'turtle', 'turtledemo', 'tkinter', 'test',
                   'lib2to3', '__phello__'}
        def load(name):
            try:
                return importlib.import_module(name)
            except (ImportError, OSError, AttributeError):
                return None
        for name in sorted(sys.stdlib_module_names):
            if name in skipped:
                continue
            module = load(name)
            path = getattr(module, '__path__', [])
            for part in pkgutil.walk_packages(path, name + '.', lambda _: None):
                if not {'__main__', 'test', 'tests', 'idlelib'} & set(part.name.split('.')):
                    load(part.name)
        for name, module in sorted(sys.modules.items()):
            if name.partition('.')[0] in sys.stdlib_module_names:
                for attribute, value in list(vars(module).items()):
                    if id(value) in own:
                        print(name + '.' + attribute)
    """).split()
    assert sorted(found) == listed


def test_every_place_holds_golocks_object_while_installed() -> None:
    for place in places():
        importlib.import_module(place.module)
    before = [getattr(sys.modules[place.module], place.attribute) for place in places()]
    golock.install()
    try:
        for place in places():
            held = getattr(sys.modules[place.module], place.attribute)
            assert held is getattr(golock, place.replacement), name_of(place)
    finally:
        golock.uninstall()
    after = [getattr(sys.modules[place.module], place.attribute) for place in places()]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_twice_is_once() -> None:
    original = threading.Lock
    assert not golock.installed()
    golock.install()
    golock.install()
    assert golock.installed()
    golock.uninstall()
    assert threading.Lock is original
    golock.uninstall()
    assert threading.Lock is original
    assert not golock.installed()


def test_nothing_but_threading_is_imported() -> None:
    out = python("""
        import golock, sys, threading
        before = set(sys.modules)
        golock.install()
        print(set(sys.modules) - before)
        golock.uninstall()
        print(set(sys.modules) - before)
    """)
    assert out == "set()\nset()\n"


def test_module_imported_while_installed_is_put_back_too() -> None:
    out = python("""
        import sys
        for name in ('tempfile', '_strptime', '_pyio', 'multiprocessing.dummy'):
            sys.modules.pop(name, None)
        import golock, _thread
        original = _thread.allocate_lock
        golock.install()
        import tempfile, _strptime, _pyio, multiprocessing.dummy, threading
        print(tempfile._allocate_lock is golock.allocate_lock, _pyio.Lock is golock.allocate_lock,
              multiprocessing.dummy.Lock is golock.Lock)
        golock.uninstall()
        print(tempfile._allocate_lock is original, _strptime._thread_allocate_lock is original,
              _pyio.Lock is original, multiprocessing.dummy.Lock is threading.Lock,
              threading._allocate_lock is original)
    """)
    assert out == "True True True\nTrue True True True True\n"


def test_what_somebody_else_put_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> object:
        return object()

    golock.install()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", other)
        golock.install()
        assert threading.Lock is other
        golock.uninstall()
        assert threading.Lock is other
        patch.undo()
    golock.install()
    golock.uninstall()


def test_made_afterwards_stands_on_golock() -> None:
    out = python("""
        import golock
        golock.install()
        import concurrent.futures, io, queue, tempfile, threading, _pyio, multiprocessing.dummy
        def show(lock):
            print(type(lock) is golock.LockType)
        show(threading.Lock())
        show(threading.Condition(threading.Lock())._lock)
        show(threading.Event()._cond._lock)
        show(queue.Queue().mutex)
        show(concurrent.futures.ThreadPoolExecutor()._shutdown_lock)
        show(multiprocessing.dummy.Lock())
        show(_pyio.BufferedReader(io.FileIO(tempfile.mkstemp()[1]))._read_lock)
        show(threading._PyRLock()._block)
        for name in ('Condition', 'Semaphore', 'BoundedSemaphore', 'Event', 'Barrier'):
            print(getattr(threading, name) is getattr(golock, name),
                  getattr(multiprocessing.dummy, name) is getattr(golock, name))
        print(type(threading.RLock()) is golock.RLock,
              type(multiprocessing.dummy.RLock()) is golock.RLock)
        print(type(queue.Queue().not_empty) is golock.Condition)
        print(type(threading.Thread()._started) is golock.Event)
        print(type(concurrent.futures.ThreadPoolExecutor()._idle_semaphore) is golock.Semaphore)
        print(type(concurrent.futures.Future()._condition) is golock.Condition)
    """)
    assert out == "True\n" * 8 + "True True\n" * 6 + "True\n" * 4


def test_threading_imported_after_install_stands_on_golock() -> None:
    out = python("""
        import sys, golock
        assert 'threading' not in sys.modules
        golock.install()
        import threading
        print(threading.Condition is golock.Condition, type(threading.RLock()) is golock.RLock)
        golock.uninstall()
        print(threading.Condition is golock.Condition, type(threading.RLock()) is golock.RLock)
    """)
    assert out == "True True\nFalse False\n"


def test_type_checks_hold_for_new_locks() -> None:
    out = python("""
        import golock
        golock.install()
        import threading, _thread
        lock = threading.Lock()
        print(isinstance(lock, _thread.LockType), isinstance(lock, type(threading.Lock())))
        print(isinstance(_thread.allocate(), _thread.LockType))
        if hasattr(_thread, 'lock'):
            print(isinstance(lock, threading.Lock), isinstance(lock, _thread.lock),
                  threading._LockType is threading.Lock)
        else:
            print(True, True, True)
    """)
    assert out == "True True\nTrue\nTrue True True\n"


def test_locks_made_before_and_in_between_stay_valid() -> None:
    before = threading.Lock()
    assert before.acquire()
    golock.install()
    try:
        between = threading.Condition(threading.Lock())
        before.release()
        with before, between:
            assert before.locked()
            between.notify_all()
    finally:
        golock.uninstall()
    with between:
        assert not between.wait(0.001)
    assert before.acquire(blocking=False)


def test_a_forked_child_inherits_the_state() -> None:
    out = python("""
        import golock, os, threading
        golock.install()
        lock = threading.Lock()
        lock.acquire()
        child = os.fork()
        if child == 0:
            ok = golock.installed() and type(threading.Lock()) is golock.LockType and lock.locked()
            golock.uninstall()
            os._exit(0 if ok and not golock.installed() else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), golock.installed())
    """)
    assert out == "0 True\n"


def test_a_second_caller_returns_when_the_first_is_done() -> None:
    done = threading.Event()

    def body() -> None:
        golock.install()
        done.set()

    thread = threading.Thread(target=body)
    with _install._guard:
        thread.start()
        assert not done.wait(0.05)
        assert not golock.installed()
    thread.join()
    assert golock.installed()
    golock.uninstall()


def test_a_child_forked_while_another_thread_installs() -> None:
    out = python("""
        import os, signal
        from golock import _install
        with _install._guard:
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                _install.install()
                os._exit(0 if _install.installed() else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert out == "0\n"
