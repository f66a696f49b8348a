"""golock stands aside when a library of green threads has replaced threads."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import pytest

PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "gevent, threads alone": "import gevent.monkey; gevent.monkey.patch_thread()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

# If a thread sleeps in the kernel, and all green threads with it, an alarm ends the program.
PRELUDE = """
    import signal, sys, warnings
    signal.alarm(100)
    warnings.filterwarnings('ignore', module='eventlet|__main__', category=DeprecationWarning)
    def spawn(*functions):
        if 'gevent' in sys.modules:
            import gevent
            gevent.joinall([gevent.spawn(function) for function in functions], raise_error=True)
        else:
            import eventlet
            for green in [eventlet.spawn(function) for function in functions]:
                green.wait()
    def switch():
        import time
        time.sleep(0)
    def notify_waiter(condition):
        notified = []
        def wait():
            with condition:
                while not notified:
                    condition.wait()
        def notify():
            with condition:
                notified.append(1)
                condition.notify()
        spawn(wait, notify)
"""

CAPTURE = """
    from threading import BoundedSemaphore, Barrier, Condition, Event, Semaphore
"""

USE = """
    import threading, queue
    def five_inside(condition):
        inside = [0]
        def body():
            with condition:
                inside[0] += 1
                assert inside[0] == 1
                switch()
                inside[0] -= 1
        spawn(*[body] * 5)
    for kind in {threading.Semaphore, threading.BoundedSemaphore, Semaphore, BoundedSemaphore}:
        semaphore = kind()
        semaphore.acquire()
        spawn(semaphore.acquire, semaphore.release)
        five_inside(kind())
    for kind in {threading.Event, Event}:
        event = kind()
        spawn(event.wait, event.set)
    for kind in {threading.Barrier, Barrier}:
        barrier = kind(3)
        spawn(*[barrier.wait] * 3)
    for kind in {threading.Condition, Condition}:
        five_inside(kind())
        five_inside(kind(threading.Lock()))
        notify_waiter(kind())
    tasks = queue.Queue(1)
    spawn(tasks.get, lambda: tasks.put(1))
    five_inside(threading.Lock())
    five_inside(threading.RLock())
    print('used')
"""


@pytest.fixture(params=PATCHES)
def patch(request):
    if importlib.util.find_spec(request.param.partition(",")[0]) is None:
        pytest.skip(f"no {request.param}")
    return f"\n    {PATCHES[request.param]}\n"


@pytest.fixture
def run(python):
    """Run a program; return its output and how often it warned that golock stands aside."""

    def run(*parts):
        code = "".join(textwrap.dedent(part) for part in parts)
        done = python(code)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.count("RuntimeWarning: golock stands aside")

    return run


@pytest.mark.parametrize("program", ["", CAPTURE + USE], ids=["nothing", "everything"])
def test_the_program_works_without_golock(run, patch, program):
    assert run(PRELUDE, patch, program) == ("used\n" if program else "", 0)


def test_patched_before_install(run, patch):
    show = """
        print(golock.installed(), before == {**vars(threading)}, _thread.allocate_lock is lock)
        golock.uninstall()
        print(golock.installed(), before == {**vars(threading)})
    """
    install = """
        import golock, threading, _thread
        before, lock = {**vars(threading)}, _thread.allocate_lock
        golock.install()
        golock.install()
    """
    printed = "used\nFalse True True\nFalse True\n"
    assert run(PRELUDE, patch, install, CAPTURE, USE, show) == (printed, 1)


def test_patched_after_install(run, patch):
    install = """
        import golock, threading
        interpreters = {
            name: getattr(threading, name)
            for name in ('Condition', 'Semaphore', 'BoundedSemaphore', 'Barrier')
        }
        golock.install()
    """
    show = """
        print(golock.installed())
        golock.uninstall()
        print({name: getattr(threading, name) for name in interpreters} == interpreters)
        import functools, tempfile, _thread
        print([value for module in (functools, tempfile, threading, _thread)
               for value in vars(module).values()
               if getattr(value, '__module__', '') == 'golock._golock'])
    """
    printed = "used\nFalse\nTrue\n[]\n"
    assert run(PRELUDE, install, CAPTURE, patch, USE, show) == (printed, 1)


# The interpreter's classes make a lock for each wait, so their old objects become green too.

MADE_BEFORE = """
    import queue, threading
    semaphore, event, barrier = threading.Semaphore(0), threading.Event(), threading.Barrier(2)
    condition, tasks = threading.Condition(), queue.Queue()
    class Derived(threading.Semaphore):
        pass
    derived = Derived(0)
"""

USED_AFTERWARDS = """
    spawn(semaphore.acquire, semaphore.release)
    spawn(derived.acquire, derived.release)
    spawn(event.wait, event.set)
    spawn(barrier.wait, barrier.wait)
    notify_waiter(condition)
    spawn(tasks.get, lambda: tasks.put(1))
    late = Derived(0)
    spawn(late.acquire, late.release)
    print('used')
"""


@pytest.mark.parametrize(
    "install", ["", "import golock; golock.install()"], ids=["plain", "golock"]
)
def test_objects_and_classes_made_before_the_patch(run, patch, install):
    if "eventlet" in patch:
        pytest.skip("hangs without golock too")
    parts = [PRELUDE, "\n" + install, MADE_BEFORE, patch, USED_AFTERWARDS]
    assert run(*parts) == ("used\n", 1 if install else 0)


def test_installed_is_honest_at_once(run, patch):
    program = f"""
        import golock, threading
        before = threading.Condition
        golock.install()
        print(golock.installed())
        {patch.strip()}
        print(golock.installed(), threading.Condition is before)
    """
    assert run(PRELUDE, program) == ("True\nFalse True\n", 1)


def test_explicit_locks_stay_golocks(run, patch):
    program = f"""
        import golock
        {patch.strip()}
        print(type(golock.Lock()) is golock.LockType, type(golock.RLock()) is golock.RLock)
    """
    assert run(PRELUDE, program) == ("True True\n", 0)


def test_golock_itself_is_imported_under_green_threads(run, patch):
    assert run(PRELUDE, patch, "import golock; print(golock.installed())") == ("False\n", 0)


# Without any library: only _thread decides.

REPLACE = """
    import _thread, golock, threading, warnings
    warnings.simplefilter('error')
    original, condition = _thread.{name}, threading.Condition
    golock.install()
    warnings.simplefilter('always')
    _thread.{name} = lambda *arguments: original(*arguments)
"""


@pytest.mark.parametrize("name", ["start_new_thread", "allocate_lock"])
def test_any_replacement_counts(run, name):
    program = """
        from threading import Event
        print(type(threading.Condition()) is condition, threading.Condition is condition)
        print(golock.installed(), type(Event()) is threading.Event)
        _thread.{name} = original
        golock.install()
        print(golock.installed(), threading.Condition is golock.Condition)
        print(type(threading.Condition()) is golock.Condition)
    """
    printed = "True True\nFalse True\nTrue True\nTrue\n"
    assert run(REPLACE.format(name=name), program.format(name=name)) == (printed, 1)


@pytest.mark.parametrize("change", ["vars(_thread).update(start_new_thread=len)", "_thread.x = 1"])
def test_only_a_replacement_counts_however_it_is_made(run, change):
    program = f"""
        import _thread, golock, threading
        golock.install()
        {change}
        threading.Barrier(1)
        print(golock.installed())
    """
    stays = change.endswith("1")
    assert run(program) == (f"{stays}\n", 0 if stays else 1)


def test_a_second_instance_of_thread_does_not_count(run):
    program = """
        import golock, importlib, sys, threading
        golock.install()
        first = sys.modules.pop('_thread')
        second = importlib.import_module('_thread')
        first.start_new_thread = second.start_new_thread
        sys.modules['_thread'] = first
        threading.Event()
        print(golock.installed())
    """
    assert run(program) == ("True\n", 0)


def test_a_warning_that_is_an_error_leaves_nothing_half_done(python):
    done = python(
        textwrap.dedent("""
            import warnings
            warnings.simplefilter('error')
            import _thread, golock, threading
            condition = threading.Condition
            golock.install()
            _thread.start_new_thread = len
            try:
                print(golock.installed())
            finally:
                print(threading.Condition is condition, golock.installed())
        """)
    )
    assert (done.returncode, done.stdout) == (0, "False\nTrue False\n")
    assert "RuntimeWarning: golock stands aside" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no watchers of dicts")
def test_where_all_watchers_are_taken(run):
    program = """
        import ctypes
        watch = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 0)
        add = ctypes.PyDLL(None).PyDict_AddWatcher
        try:
            while True:
                add(watch)
        except RuntimeError:
            pass
        import golock, _thread, threading
        golock.install()
        threading.Event()
        print(golock.installed())
        _thread.start_new_thread = len
        print(type(threading.Event()) is threading.Event, golock.installed())
    """
    assert run(program) == ("True\nTrue False\n", 1)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_tasks_do_not_wait(run, kind):
    """Also for an object made before: a green thread might have to release it."""
    program = f"""
        import asyncio, golock, _thread, threading
        free, lock = golock.{kind}(), golock.{kind}()
        holder = threading.Thread(target=lock.acquire)
        holder.start()
        holder.join()
        original = _thread.start_new_thread
        _thread.start_new_thread = lambda *arguments: original(*arguments)
        golock.install()
        async def main():
            print(await free.acquire_async())
            try:
                await lock.acquire_async()
            except RuntimeError as error:
                print('green threads' in str(error))
        asyncio.run(main())
    """
    assert run(program)[0] == "True\nTrue\n"
