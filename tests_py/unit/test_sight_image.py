"""The image of golock.sight, against what the test knows: stacks, threads, waits."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
import weakref
from functools import partial
from pathlib import Path

import pytest

import golock
from golock import _golock
from golock.sight import _image
from waiting import asleep_in_kernel, join, start, wait_until

OFF, WAITS, OWNERS, ORDER = range(4)
MOST_FRAMES = 128


@pytest.fixture(autouse=True)
def _sight():
    _golock.set_sight_level(WAITS)
    yield
    _golock.set_sight_level(OFF)


def image(sections=0):
    return _image.Image(_golock.sight_image(sections))


def waits_of(thread):
    """Return the image, and the waits of a thread in it."""
    seen = image()
    keys = [each.key for each in seen.threads if each.identifier == thread.ident]
    return seen, [each for each in seen.waits if each.thread in keys]


def the_wait_of(thread):
    """Return an image with a wait of the thread, and the wait."""
    wait_until(lambda: waits_of(thread)[1], "the thread waits")
    seen, waits = waits_of(thread)
    assert len(waits) == 1
    return seen, waits[0]


def waits_for(*things):
    ids = set(map(id, things))
    return [each for each in image().waits if each.object in ids]


def frames(seen, stack):
    """Return (file, line, function) of each frame, the outermost first."""
    entries = [seen.frame(index) for index in reversed(seen.stack(stack))]
    return [(seen.string(each.file), each.line, seen.string(each.function)) for each in entries]


def traceback_of(thread):
    """Return what the interpreter says of a thread that sleeps, in the same form."""
    return [
        (frame.f_code.co_filename, line, getattr(frame.f_code, "co_qualname", frame.f_code.co_name))
        for frame, line in traceback.walk_stack(sys._current_frames()[thread.ident])
    ][::-1]


class Waiter:
    """Waits in many ways. Each method waits for the lock below different frames."""

    def __init__(self):
        self.lock = golock.Lock()

    def wait(self, *_):
        self.lock.acquire()
        self.lock.release()

    @property
    def wait_in_a_frame(self):
        def method(*_):
            self.wait()

        return method

    def with_statement(self):
        with self.lock:
            pass

    def function(self):
        def inner():
            self.wait()

        inner()

    def recursion(self, depth=50):
        if depth:
            self.recursion(depth - 1)
        else:
            self.wait()

    def generator(self):
        def items():
            self.wait()
            yield

        def more():
            yield from items()

        for _ in more():
            pass

    def coroutine(self):
        async def inner():
            self.wait()

        async def outer():
            await inner()

        with pytest.raises(StopIteration):
            outer().send(None)

    def comprehension(self):
        [self.wait() for _ in range(1)]

    def class_body(self):
        class Body:
            self.wait()

    def function_of_c(self):
        sorted([1], key=self.wait)

    def several_functions_of_c(self):
        list(map(partial(max, key=self.wait), [[1]]))

    def special_method(self):
        class Special:
            __getitem__ = self.wait_in_a_frame

        Special()[0]

    def constructor(self):
        class Made:
            __init__ = self.wait_in_a_frame

        Made()

    def code_of_a_string(self):
        code = compile("\n\n(\nwait(\n)\n)", "näme of <a string>", "exec")
        exec(code, {"wait": self.wait})

    def finalizer(self):
        class Finalized:
            __del__ = self.wait_in_a_frame

        Finalized()

    def many_lines(self):
        self.wait(
            1,
            [
                2
                for _ in range(3)
            ],
        )  # fmt: skip


WAYS = [name for name in vars(Waiter) if not name.startswith(("_", "wait"))]


@pytest.mark.parametrize("way", WAYS)
def test_a_stack_is_that_of_the_traceback(way):
    waiter = Waiter()
    waiter.lock.acquire()
    thread = start(getattr(waiter, way))
    seen, wait = the_wait_of(thread)
    found, expected = frames(seen, wait.stack), traceback_of(thread)
    waiter.lock.release()
    join([thread])
    assert found == expected
    assert len(found) > 2


def test_of_a_deep_stack_the_innermost_frames_are_recorded():
    waiter = Waiter()
    waiter.lock.acquire()
    thread = start(waiter.recursion, 300)
    seen, wait = the_wait_of(thread)
    found, expected = frames(seen, wait.stack), traceback_of(thread)
    waiter.lock.release()
    join([thread])
    assert len(expected) > 300
    assert found == expected[-MOST_FRAMES:]


def test_equal_stacks_are_one():
    waiter = Waiter()
    waiter.lock.acquire()
    threads = [start(waiter.function) for _ in range(3)]
    stacks = {the_wait_of(thread)[1].stack for thread in threads}
    waiter.lock.release()
    join(threads)
    assert len(stacks) == 1


def test_a_file_name_without_an_encoding():
    waiter = Waiter()
    waiter.lock.acquire()
    code = compile("wait()", "\udc80\U0001f40d", "exec")
    thread = start(exec, code, {"wait": waiter.wait})
    seen, wait = the_wait_of(thread)
    waiter.lock.release()
    join([thread])
    assert "�\U0001f40d" in [file for file, _, _ in frames(seen, wait.stack)]


def test_stacks_hold_their_code_until_the_level_is_left():
    waiter = Waiter()
    waiter.lock.acquire()
    code = compile("wait()", "code", "exec")
    alive = weakref.ref(code)
    thread = start(exec, code, {"wait": waiter.wait})
    _, wait = the_wait_of(thread)
    waiter.lock.release()
    join([thread])
    del code, thread
    gc.collect()
    assert alive() is not None
    _golock.set_sight_level(OFF)
    gc.collect()
    assert alive() is None
    assert ("code", 1, "<module>") in frames(image(), wait.stack)


def test_stacks_are_the_same_after_a_restart():
    waiter = Waiter()
    stacks = []
    for _ in range(2):
        waiter.lock.acquire()
        thread = start(waiter.function)
        stacks.append(the_wait_of(thread)[1].stack)
        waiter.lock.release()
        join([thread])
        _golock.set_sight_level(OFF)
        _golock.set_sight_level(WAITS)
    assert stacks[0] == stacks[1]


def waiting_thread(lock, name):
    thread = threading.Thread(target=lock.acquire, name=name, daemon=True)
    thread.start()
    return thread


def name_of(thread):
    seen, wait = the_wait_of(thread)
    return seen.string(seen.thread(wait.thread).name)


@pytest.mark.parametrize("name", ["worker", "Müller", "\U0001f40d", "x" * 4096])
def test_the_name_of_a_thread(name):
    lock = golock.Lock()
    lock.acquire()
    thread = waiting_thread(lock, name)
    assert name_of(thread) == name
    thread.name = "renamed"
    assert name_of(thread) == "renamed"
    lock.release()
    join([thread])


def test_a_long_name_is_cut_off():
    lock = golock.Lock()
    lock.acquire()
    thread = waiting_thread(lock, "x" * 5000)
    assert name_of(thread) == "x" * 4096
    lock.release()
    join([thread])


def test_a_name_that_is_a_property_is_not_called():
    called = []

    class Named(threading.Thread):
        @property
        def _name(self):
            called.append(sys._getframe(1).f_code.co_name)
            return self.__dict__["_name"]

        @_name.setter
        def _name(self, value):
            self.__dict__["_name"] = value

    lock = golock.Lock()
    lock.acquire()
    thread = Named(target=lock.acquire, daemon=True)
    thread.start()
    called.clear()
    assert name_of(thread) == ""
    assert called == []
    lock.release()
    join([thread])


def test_a_thread_that_python_did_not_start():
    ended, lock = golock.Event(), golock.Lock()
    lock.acquire()

    def wait():
        lock.acquire()
        ended.set()

    identifier = _thread.start_new_thread(wait, ())

    def key():
        seen = image()
        return [each for each in seen.threads if each.identifier == identifier]

    wait_until(key, "the thread waits")
    assert image().string(key()[0].name) == ""
    lock.release()
    ended.wait()


def test_the_record_of_a_thread():
    lock = golock.Lock()
    lock.acquire()
    thread = waiting_thread(lock, "one")
    seen, wait = the_wait_of(thread)
    entry = seen.thread(wait.thread)
    assert entry.identifier == thread.ident
    assert entry.native == thread.native_id
    assert entry.flags == 0
    lock.release()
    join([thread])
    wait_until(lambda: image().thread(wait.thread) is None, "the record goes with the thread")


def test_the_main_thread():
    lock = golock.Lock()
    lock.acquire()
    assert not lock.acquire(timeout=0.001)
    main = [each for each in image().threads if each.flags & _image.THREAD_MAIN]
    assert [each.identifier for each in main] == [threading.main_thread().ident]
    assert main[0].native == os.getpid()


def test_keys_are_not_used_again():
    lock = golock.Lock()
    lock.acquire()
    keys = []
    for _ in range(5):
        thread = waiting_thread(lock, "one")
        keys.append(the_wait_of(thread)[1].thread)
        lock.release()
        join([thread])
    assert len(set(keys)) == 5


def test_many_threads():
    lock = golock.Lock()
    lock.acquire()
    threads = [waiting_thread(lock, f"thread {i}") for i in range(600)]
    wait_until(lambda: len(waits_for(lock)) == 600, "all wait")
    seen = image()
    mine = [each for each in seen.waits if each.object == id(lock)]
    names = {seen.string(seen.thread(each.thread).name) for each in mine}
    assert names == {f"thread {i}" for i in range(600)}
    lock.release()
    for _ in threads[1:]:  # each that has the lock ends, and leaves it taken
        wait_until(lock.locked, "the next has the lock")
        lock.release()
    join(threads)


def test_times_and_deadline():
    before = time.monotonic_ns()
    event = golock.Event()
    thread = start(event.wait, 30)
    seen, wait = the_wait_of(thread)
    after = time.monotonic_ns()
    event.set()
    join([thread])
    assert before <= wait.since <= after
    assert wait.since + 29e9 < wait.deadline < after + 30e9
    assert wait.taken == 0
    assert wait.object == id(event)
    assert seen.object(wait.object).kind == _image.KINDS.index("Event")
    assert seen.header.now <= after
    assert seen.header.process == os.getpid()
    assert seen.header.level == WAITS


def test_waits_are_in_the_order_in_which_they_began():
    events = [golock.Event() for _ in range(6)]

    def begin(event):
        thread = start(event.wait)
        the_wait_of(thread)
        return thread

    threads = [begin(event) for event in events[:5]]
    events[0].set()
    join([threads.pop(0)])
    threads.append(begin(events[5]))  # with the record of the first one
    assert [each.object for each in waits_for(*events)] == [id(event) for event in events[1:]]
    for event in events:
        event.set()
    join(threads)


def test_a_wait_that_has_ended_is_gone():
    lock = golock.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    the_wait_of(thread)
    lock.release()
    join([thread])
    assert waits_for(lock) == []


def test_a_notified_thread_waits_for_its_lock():
    lock = golock.Lock()
    condition = golock.Condition(lock)

    def wait():
        with condition:
            condition.wait()

    thread = start(wait)
    _, wait = the_wait_of(thread)
    assert wait.object == id(condition)
    wait_until(lambda: asleep_in_kernel(thread), "the thread sleeps")
    with condition:
        condition.notify()
        _, after = the_wait_of(thread)
        assert after.object == id(lock)
        assert after.since > wait.since
        assert after.stack == wait.stack
    join([thread])


def test_a_wait_below_a_signal_handler_is_suspended():
    lock, seen = golock.Lock(), []

    def look(*_):
        seen.extend(waits_of(threading.current_thread())[1])
        lock.release()

    previous = signal.signal(signal.SIGALRM, look)
    lock.acquire()
    timer = start(
        lambda: (
            wait_until(lambda: waits_for(lock), "the main thread waits"),
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM),
        )
    )
    assert lock.acquire()
    signal.signal(signal.SIGALRM, previous)
    join([timer])
    assert [(each.object, each.flags) for each in seen] == [(id(lock), _image.WAIT_SUSPENDED)]
    assert waits_for(lock) == []


def test_sections():
    seen = image(1 << _image.WAITS | 1 << _image.THREADS)
    assert [tag for tag in range(1, 12) if seen.has(tag)] == [_image.THREADS, _image.WAITS]
    assert all(image().has(tag) for tag in range(1, 12) if tag != _image.PERMITS)
    assert seen.header.flags == _image.WITH_GIL
    with pytest.raises(TypeError):
        _golock.sight_image(0, 0)
    with pytest.raises(TypeError):
        _golock.sight_image("all")
    with pytest.raises(OverflowError):
        _golock.sight_image(-1)


def test_a_child_knows_its_own_thread_alone(python, check):
    check(
        python(
            """
            import os, sys, threading, warnings
            import golock
            from golock import _golock
            from golock.sight import _image
            from waiting import start, wait_until
            warnings.simplefilter('ignore', DeprecationWarning)

            def image():
                return _image.Image(_golock.sight_image())

            _golock.set_sight_level(1)
            lock, event = golock.Lock(), golock.Event()
            lock.acquire()
            others = [start(lock.acquire), start(event.wait)]

            def fork_and_look():
                assert not lock.acquire(timeout=0.001)
                wait_until(lambda: len(image().waits) == 2, 'both wait')
                pid = os.fork()
                if pid == 0:
                    seen = image()
                    [me] = seen.threads
                    assert me.identifier == threading.get_ident()
                    assert me.native == os.getpid() == seen.header.process
                    assert me.flags == _image.THREAD_MAIN
                    assert seen.string(me.name) == 'forks', seen.string(me.name)
                    assert not list(seen.waits) and seen.header.level == 1
                    lock.release()
                    lock.acquire()
                    new = [start(lock.acquire) for _ in range(3)]
                    wait_until(lambda: len(image().waits) == 3, 'new threads wait')
                    assert {each.thread for each in image().waits} <= {
                        each.key for each in image().threads}
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                assert len(image().waits) == 2

            forker = threading.Thread(target=fork_and_look, name='forks')
            forker.start()
            forker.join()
            print('looked')
            """
        ),
        "looked\n",
    )


def test_other_interpreters(python, check):
    """Their threads are seen while they wait, and nothing of them is left when they have ended."""
    pytest.importorskip("_testcapi")
    check(
        python(
            """
            import os, threading
            import _testcapi
            import golock
            from golock import _golock
            from golock.sight import _image
            from waiting import start, wait_until

            def image():
                return _image.Image(_golock.sight_image())

            def foreign():
                seen = image()
                return [each for each in seen.waits if each.thread >> 40], seen

            _golock.set_sight_level(1)
            read, write = os.pipe()
            inner = f'''
            import os, threading
            import golock
            lock = golock.Lock()
            lock.acquire()
            def wait_in_the_interpreter():
                with lock:
                    pass
            thread = threading.Thread(target=wait_in_the_interpreter, name='inner')
            thread.start()
            os.read({read}, 1)
            lock.release()
            thread.join()
            '''
            import textwrap
            interpreter = start(_testcapi.run_in_subinterp, textwrap.dedent(inner))
            wait_until(lambda: foreign()[0], 'a thread waits there')
            [wait], seen = foreign()
            functions = [seen.string(seen.frame(each).function) for each in seen.stack(wait.stack)]
            assert functions[0] == 'wait_in_the_interpreter', functions
            assert seen.string(seen.thread(wait.thread).name) == 'inner'
            os.write(write, b'x')
            interpreter.join()
            assert not foreign()[0]
            assert not [each for each in image().threads if each.key >> 40]
            print('looked')
            """
        ),
        "looked\n",
    )


@pytest.mark.parametrize("level", ["waits", "owners", "order"])
def test_the_process_ends_within_waits(python, check, level):
    program = """
        import golock
        from golock import _golock
        from waiting import start, wait_until
        from golock.sight import _image

        lock, event = golock.Lock(), golock.Event()
        lock.acquire()
        threads = [start(lock.acquire), start(event.wait), start(event.wait, 1000)]
        wait_until(lambda: len(_image.Image(_golock.sight_image()).waits) == 3, 'all wait')
        print('ends')
    """
    check(python(program, env={**os.environ, "GOLOCK_SIGHT": level}), "ends\n")


EMBEDDING = """
#include <Python.h>

int
main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < 3; i++) {
        Py_Initialize();
        if (PyRun_SimpleString(argv[1]) != 0 || Py_FinalizeEx() != 0) {
            return 1;
        }
    }
    return 0;
}
"""

EMBEDDED = """
import sys
import sysconfig
sys.path[:0] = {path!r}
import golock
from golock import _golock
from golock.sight import _image

_golock.set_sight_level(1)
lock = golock.Lock()
lock.acquire()
assert not lock.acquire(timeout=0.001)
seen = _image.Image(_golock.sight_image())
print([(seen.string(each.name), each.flags) for each in seen.threads], flush=True)
"""


@pytest.mark.once
def test_an_interpreter_that_starts_after_another_has_ended(tmp_path):
    """Its main thread has the key that the former one's had."""
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
    if library.suffix != ".so" or not library.exists():
        pytest.skip(f"no {library} to link with")
    source, program = tmp_path / "embedding.c", tmp_path / "embedding"
    source.write_text(EMBEDDING)
    include = sysconfig.get_path("include")
    options = [f"-I{include}", str(source), str(library), f"-Wl,-rpath,{library.parent}"]
    subprocess.run(["cc", *options, "-o", str(program)], check=True)
    code = EMBEDDED.format(path=sys.path)
    environment = {**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    result = subprocess.run(
        [program, code], env=environment, capture_output=True, text=True, check=False
    )
    main = [("MainThread", _image.THREAD_MAIN)]
    assert (result.returncode, result.stderr, result.stdout) == (0, "", f"{main}\n" * 3)
