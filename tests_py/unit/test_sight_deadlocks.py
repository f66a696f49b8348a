"""golock.sight finds deadlocks, tells of each once, and ends them where it is asked to."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

import golock
from golock import sight
from waiting import join, start, wait_until

THRESHOLD = 0.02


class Told:
    """The deadlocks that were told. Get the next one by calling it."""

    def __init__(self):
        self.queue = queue.SimpleQueue()

    def __call__(self):
        return self.queue.get(timeout=30)

    def is_empty(self):
        return self.queue.empty()


@pytest.fixture(autouse=True)
def _circles_end():
    yield
    while Circle.planted:
        Circle.planted.pop().end()


@pytest.fixture
def told():
    result = Told()
    sight.start("owners", on_deadlock=result.queue.put, threshold=THRESHOLD)
    yield result
    sight.stop()


@pytest.fixture
def raising():
    sight.start("owners", on_deadlock="raise", threshold=THRESHOLD)
    yield
    sight.stop()


class Circle:
    """Threads that each hold a lock and wait for the next one's; the first lock is a Lock."""

    planted: ClassVar[list[Circle]] = []

    def __init__(self, kinds, timeout=-1):
        self.locks = [kind() for kind in kinds]
        self.errors = []
        self._all = threading.Barrier(len(kinds))
        self._timeout = timeout
        self._ended = False
        self.threads = []
        self.planted.append(self)
        for index in range(len(kinds)):
            name = f"member {index}"
            self.threads.append(threading.Thread(target=self._run, args=(index,), name=name))
            sight.name(self.locks[index], f"lock {index}")
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def _run(self, index):
        mine, other = self.locks[index], self.locks[(index + 1) % len(self.locks)]
        mine.acquire()
        self._all.wait()
        try:
            if other.acquire(timeout=self._timeout):
                other.release()
        except golock.DeadlockError as error:
            self.errors.append(error)
        if index > 0 or not self._ended:
            mine.release()

    def end(self):
        """Release the first lock instead of its owner, unless the circle has ended."""
        if not self._ended and self.threads[0].is_alive():
            self._ended = True
            self.locks[0].release()
        join(self.threads)


def take_and_release(lock):
    with lock:
        pass


def waits_for(*things):
    ids = set(map(id, things))
    return [wait for wait in sight.snapshot().waits if wait.lock.id in ids]


def members_of(deadlock):
    return sorted(wait.thread.name for wait in deadlock.waits)


def tell_of_another(told):
    """Plant a deadlock, and return which one is told next: nothing else was told before it."""
    circle = Circle([golock.Lock] * 2)
    found = told()
    circle.end()
    return members_of(found) == ["member 0", "member 1"] and {
        wait.lock.id for wait in found.waits
    } == set(map(id, circle.locks))


@pytest.mark.parametrize("kind", [golock.Lock, golock.RLock])
@pytest.mark.parametrize("members", [2, 3, 64])
def test_a_circle_is_told(told, kind, members):
    circle = Circle([golock.Lock] + [kind] * (members - 1))
    deadlock = told()
    assert members_of(deadlock) == sorted(thread.name for thread in circle.threads)
    assert deadlock.certain
    assert not deadlock.has_main_thread
    for wait, following in zip(
        deadlock.waits, deadlock.waits[1:] + deadlock.waits[:1], strict=True
    ):
        assert wait.lock.holder == following.thread
        assert wait.lock.name == f"lock {following.thread.name.removeprefix('member ')}"
        function = getattr(Circle._run.__code__, "co_qualname", "_run")
        assert wait.stack[-1].function == function
        assert wait.lock.acquired_at[-1].function == function
        assert wait.seconds >= 0
    assert [members_of(each) for each in sight.deadlocks()] == [members_of(deadlock)]
    circle.end()
    assert sight.deadlocks() == ()


def test_a_limit_makes_it_uncertain(told):
    circle = Circle([golock.Lock] * 2, timeout=60)
    assert not told().certain
    circle.end()


def test_a_release_by_a_stranger_makes_it_uncertain(told):
    lock = golock.Lock()
    lock.acquire()
    join([start(lock.release)])
    circle = Circle([lambda: lock, golock.Lock])
    assert not told().certain
    circle.end()


def test_a_thread_that_waits_for_its_own_lock(told):
    lock = golock.Lock()

    def take_twice():
        lock.acquire()
        lock.acquire()

    thread = start(take_twice)
    deadlock = told()
    assert members_of(deadlock) == [thread.name]
    assert not deadlock.certain  # another thread may release it, as here
    assert str(deadlock).startswith("Possible deadlock of a thread with itself:")
    lock.release()
    join([thread])
    assert sight.deadlocks() == ()


def test_a_lock_that_is_a_signal_is_not_told(told):
    """Another thread has released it before, so its owner may wait for another to do so."""
    lock = golock.Lock()

    def wait_twice():
        lock.acquire()
        lock.acquire()
        lock.acquire()

    thread = start(wait_twice)
    assert members_of(told()) == [thread.name]
    lock.release()
    assert tell_of_another(told)
    lock.release()
    join([thread])


def hold_and_wait(first, second, ready):
    """Take one thing in a thread, wait for all, and take another."""

    def run():
        first.acquire()
        ready.wait()
        take_and_release(second)
        with contextlib.suppress(RuntimeError):  # the test has released it
            first.release()

    return start(run)


@pytest.mark.parametrize("kind", [golock.Semaphore, golock.BoundedSemaphore])
def test_a_semaphore_whose_permits_are_all_held_by_threads_that_wait(told, kind):
    semaphore, lock = kind(2), golock.Lock()
    ready = threading.Barrier(3)
    with lock:
        threads = [hold_and_wait(semaphore, lock, ready) for _ in range(2)]
        ready.wait()
        wait_until(lambda: len(waits_for(lock)) == 2, "both wait for the lock")
        assert tell_of_another(told)  # the main thread holds it
        waiter = start(take_and_release, semaphore)
        wait_until(lambda: waits_for(semaphore), "waits for a permit")
        assert tell_of_another(told)
    join([*threads, waiter])

    ready = threading.Barrier(3)
    last = hold_and_wait(lock, semaphore, ready)
    threads = [hold_and_wait(semaphore, lock, ready) for _ in range(2)]
    deadlock = told()
    assert len(deadlock.waits) == 2
    assert last.name in members_of(deadlock)
    assert not deadlock.certain
    semaphore_waits = next(wait for wait in deadlock.waits if wait.lock.id == id(semaphore))
    assert semaphore_waits.thread.name == last.name
    lock.release()
    join([*threads, last])


def test_a_semaphore_of_which_a_thread_that_runs_has_a_permit(told):
    semaphore, lock = golock.Semaphore(2), golock.Lock()
    ready = threading.Barrier(3)
    with semaphore:
        threads = [
            hold_and_wait(lock, semaphore, ready),
            hold_and_wait(semaphore, lock, ready),
        ]
        ready.wait()
        wait_until(lambda: len(waits_for(lock, semaphore)) == 2, "both wait")
        assert tell_of_another(told)
        assert sight.deadlocks() == ()
    join(threads)


def test_waits_that_are_no_circle_are_not_told(told):
    """A chain of waits, an event, a condition, a barrier, and semaphores as signals."""
    first, second = golock.Lock(), golock.Lock()
    condition, event, barrier = golock.Condition(), golock.Event(), golock.Barrier(2)
    semaphore = golock.Semaphore(0)
    first.acquire()

    def chain():
        with second, first:
            pass

    def await_notification():
        with condition:
            condition.wait()

    threads = [
        start(chain),
        start(await_notification),
        *map(start, (event.wait, barrier.wait, semaphore.acquire)),
    ]
    waited_for = first, condition, event, barrier, semaphore
    wait_until(lambda: len(waits_for(*waited_for)) == 5, "all wait")
    threads.append(start(take_and_release, second))
    wait_until(lambda: waits_for(second), "waits")
    assert tell_of_another(told)
    first.release()
    event.set()
    semaphore.release()
    barrier.wait()
    with condition:
        condition.notify()
    join(threads)


def test_a_deadlock_is_told_once_and_a_new_one_again(told):
    circle = Circle([golock.Lock, golock.RLock])
    told()
    bystander = start(take_and_release, circle.locks[0])  # another wait for a lock of the circle
    wait_until(lambda: len(waits_for(*circle.locks)) == 3, "waits")
    assert tell_of_another(told)
    circle.end()
    join([bystander])
    again = Circle([golock.Lock] * 2)
    assert members_of(told()) == ["member 0", "member 1"]
    again.end()
    assert told.is_empty()


def test_two_at_once(told):
    circles = [Circle([golock.Lock] * members) for members in (2, 3)]
    assert sorted(len(told().waits) for _ in circles) == [2, 3]
    for circle in circles:
        circle.end()


def test_the_youngest_wait_raises_and_leaves_its_lock(raising):
    first, second = golock.Lock(), golock.RLock()
    sight.name(first, "first")
    waits, unwound = golock.Event(), golock.Event()
    threads, raised = [], []

    def wait_for_second():
        with first:
            waits.set()
            with second:
                pass

    def wait_for_first():
        try:
            with second:
                threads.append(start(wait_for_second))
                waits.wait()
                wait_until(lambda: waits_for(second), "waits")
                with first:
                    pass
        except golock.DeadlockError as error:
            raised.append(error)
        join(threads)  # the other has got the second lock
        assert not second._is_owned()
        unwound.set()

    join([start(wait_for_first)])
    assert unwound.is_set()
    (error,) = raised
    assert isinstance(error, RuntimeError)
    assert re.search(r"Thread-\d+ \(wait_for_first\) has waited .* for first, which", str(error))
    assert not first.locked()
    with first, second:
        pass
    assert not waits_for(first, second)


@pytest.mark.parametrize("members", [2, 3, 64])
def test_one_wait_of_a_circle_raises_and_the_others_go_on(raising, members):
    circle = Circle([golock.Lock] * members)
    join(circle.threads)
    assert len(circle.errors) == 1
    assert not any(lock.locked() for lock in circle.locks)


def test_others_that_wait_for_the_lock_sleep_on(raising):
    """A wake that is meant for the thread that raises may reach them."""
    first, second = golock.Lock(), golock.Lock()
    ready = golock.Event()

    def older():
        with first:
            ready.set()
            take_and_release(second)

    second.acquire()
    threads = [start(older)]
    ready.wait()
    threads += [start(take_and_release, first) for _ in range(40)]
    wait_until(lambda: len(waits_for(first, second)) == 41, "all wait")
    with pytest.raises(golock.DeadlockError):
        first.acquire()
    second.release()
    join(threads)
    assert not first.locked()


def test_a_condition_takes_its_lock_again_though_its_wait_is_the_youngest(raising):
    condition, other = golock.Condition(golock.Lock()), golock.Lock()
    waiting, errors = golock.Event(), []

    def wait():
        with other, condition:
            waiting.set()
            while not errors:  # the other thread may come too late for the first wait
                assert not condition.wait(5 * THRESHOLD)

    def take_other():
        with condition:
            try:
                other.acquire()
            except golock.DeadlockError as error:
                errors.append(error)

    waiter = start(wait)
    waiting.wait()
    join([start(take_other), waiter])
    assert len(errors) == 1


def test_what_is_uncertain_is_reported_instead_of_raised(python):
    result = python(
        """
        import os
        import threading
        import golock
        from golock import sight

        sight.start("owners", on_deadlock="raise", threshold=0.02)
        first, second = golock.Lock(), golock.Lock()
        both, reported, ended = threading.Barrier(2), threading.Event(), []
        reports, writer = os.pipe()
        errors = os.dup(2)
        os.dup2(writer, 2)

        def work(mine, other):
            with mine:
                both.wait()
                while not reported.is_set():
                    if other.acquire(timeout=0.5):
                        other.release()
            ended.append(mine)

        threads = [
            threading.Thread(target=work, args=pair)
            for pair in ((first, second), (second, first))
        ]
        for thread in threads:
            thread.start()
        report = os.read(reports, 10_000)
        reported.set()
        for thread in threads:
            thread.join()
        os.write(errors, report)
        print(len(ended))
        """
    )
    assert result.stdout == "2\n"
    assert result.stderr.startswith("golock.sight: Possible deadlock of 2 threads:\n")


MAIN = """
import os
import signal
import subprocess
import sys
import threading
from typing import ClassVar
import golock
from golock import sight

on_deadlock = sys.argv[1]
first, second = golock.Lock(), golock.RLock()
sight.start("owners", on_deadlock=on_deadlock, threshold=0.02)
sight.name(first, "first")
sight.name(second, "second")
ready = threading.Event()


class Ended(Exception):
    pass


def end(*_):
    raise Ended


signal.signal(signal.SIGUSR1, end)


def other():
    with second:
        ready.set()
        with first:
            pass


def send_signal():
    while not sight.deadlocks():
        pass
    told.wait()
    os.kill(os.getpid(), signal.SIGUSR1)


told = threading.Event()
thread = threading.Thread(target=other, name="other")
first.acquire()
thread.start()
ready.wait()
sender = threading.Thread(target=send_signal)
sender.start()
if on_deadlock == "report":
    read, write = os.pipe()
    stderr = os.dup(2)
    os.dup2(write, 2)

    def copy():
        text = b""
        while b"main thread.\\n" not in text:
            text += os.read(read, 4096)
        os.write(stderr, text)
        told.set()

    copier = threading.Thread(target=copy)
    copier.start()
try:
    second.acquire()
except (Ended, golock.DeadlockError) as error:
    print(type(error).__name__)
os.dup2(os.dup(1), 2)
first.release()
thread.join()
print(sight.deadlocks(), first.locked())
told.set()
"""


def line_of(text):
    return 1 + next(index for index, line in enumerate(MAIN.splitlines()) if text in line)


def test_the_text_on_standard_error_and_a_handler_that_ends_it(python):
    result = python(MAIN, "report")
    assert result.stdout == "Ended\n() False\n"
    lines = [
        "golock.sight: Deadlock of 2 threads:",
        r"MainThread has waited \d+\.\d s for second, which other holds:",
        f'  File "<string>", line {line_of("second.acquire()")}, in <module>',
        "  other took it at:",
        f'  File "<string>", line {line_of("with second")}, in other',
        r"other has waited \d+\.\d s for first, which MainThread holds:",
        r'(  File ".*threading.py", line \d+, in .*\n){3}'
        f'  File "<string>", line {line_of("with first")}, in other',
        "  MainThread took it at:",
        f'  File "<string>", line {line_of("first.acquire()")}, in <module>',
        "A signal handler that raises may end the wait of the main thread.",
        "",
    ]
    first, second = lines[1:5], lines[5:9]
    texts = [
        "\n".join([lines[0], *members, *lines[9:]]) for members in (first + second, second + first)
    ]
    assert any(re.fullmatch(text, result.stderr) for text in texts), result.stderr


FULL = """
import os
import threading
import golock
from golock import sight

read, write = os.pipe()
os.dup2(write, 2)
os.set_blocking(2, False)
try:
    while True:
        os.write(2, bytes(4096))
except BlockingIOError:
    os.set_blocking(2, True)
told = b""
sight.start("owners", on_deadlock="raise", threshold=0.02)


def deadlock(timeout):
    first, second = golock.Lock(), golock.Lock()
    both = threading.Barrier(2)

    def work(mine, other):
        try:
            with mine:
                both.wait()
                other.acquire(timeout=timeout)
        except golock.DeadlockError:
            raised.set()

    for pair in ((first, second), (second, first)):
        threading.Thread(target=work, args=pair, daemon=True).start()


raised = threading.Event()
deadlock(60)  # it is uncertain, and described
while not sight.deadlocks():
    pass
deadlock(-1)
raised.wait()
while b"golock.sight: Possible deadlock of 2 threads:\\n" not in told:
    told += os.read(read, 65536)
print("told")
"""


def test_a_pipe_that_is_full_keeps_nobody_waiting(python, check):
    """The text is written when there is room."""
    check(python(FULL), "told\n")


def without_source(text):
    """Leave out the lines of the source, which only str() has."""
    lines = text.splitlines()
    return [line for line in lines if not line.startswith("    ")]


def test_str_and_the_text_of_the_error_are_the_same(told):
    circle = Circle([golock.Lock, golock.RLock, golock.Lock])
    found = str(told())
    circle.end()
    sight.start("owners", on_deadlock="raise", threshold=THRESHOLD)
    circle = Circle([golock.Lock, golock.RLock, golock.Lock])
    join(circle.threads)
    texts = [
        sorted(re.sub(r"waited \d+\.\d s", "waited", line) for line in without_source(text))
        for text in (found, str(circle.errors[0]))
    ]
    assert texts[0] == texts[1]


def test_what_a_function_raises_goes_to_the_hook(monkeypatch):
    told, raised = Told(), queue.SimpleQueue()

    def fail(deadlock):
        told.queue.put(deadlock)
        raise KeyError("a mistake")

    def hook(unraisable):
        if unraisable.object is fail:
            raised.put((unraisable.exc_type, str(unraisable.exc_value)))

    monkeypatch.setattr(sys, "unraisablehook", hook)
    sight.start("owners", on_deadlock=fail, threshold=THRESHOLD)
    for _ in range(2):
        assert tell_of_another(told)
        assert raised.get(timeout=30) == (KeyError, "'a mistake'")
    sight.stop()


class Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.queue = queue.SimpleQueue()

    def emit(self, record):
        self.queue.put(record)


@pytest.mark.parametrize("adapter", [False, True])
def test_a_logger(adapter):
    logger, records = logging.getLogger("test_sight_deadlocks"), Records()
    logger.addHandler(records)
    logger.propagate = False
    sight.start(
        "owners",
        on_deadlock=logging.LoggerAdapter(logger, {}) if adapter else logger,
        threshold=THRESHOLD,
    )
    for timeout, level in ((-1, logging.ERROR), (60, logging.WARNING)):
        circle = Circle([golock.Lock] * 2, timeout)
        record = records.queue.get(timeout=30)
        assert record.levelno == level
        assert "member 0 has waited" in record.getMessage()
        circle.end()
    sight.stop()
    logger.removeHandler(records)


OWN_LOGGER = """
import logging
import sys
import threading
import time
import golock
from golock import sight

golock.install()
reaction = sys.argv[1] if sys.argv[1:] else logging.getLogger()
sight.start("owners", on_deadlock=reaction, threshold=0.02)
handler = logging.StreamHandler()
logging.getLogger().addHandler(handler)
lock, ready = threading.Lock(), threading.Barrier(2)

def log():
    with lock:
        ready.wait()
        logging.error("a message")

def lose():
    with handler.lock:
        ready.wait()
        lock.acquire()

for target in (log, lose):
    threading.Thread(target=target, daemon=True).start()
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("reaction", [[], ["report"]])
def test_a_logger_whose_handler_takes_part(reaction):
    """It cannot log, so standard error has the description."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN_LOGGER, *reaction], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "golock.sight: Deadlock of 2 threads:\n"
        waits = (line for line in process.stderr if " has waited " in line)
        first, second = next(waits), next(waits)
        process.kill()
    assert re.search(r" for RLock logging/__init__\.py:\d+ \(.*createLock\)", first + second)


def test_a_thread_that_cannot_be_started(monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="can't start"):
        sight.start("owners", on_deadlock=print, threshold=THRESHOLD)
    monkeypatch.undo()
    assert sight.level() == "off"


def threads_that_tell():
    return [thread.name for thread in threading.enumerate()].count("golock.sight")


def test_a_second_start_replaces_the_first(told):
    other = Told()
    sight.start("owners", on_deadlock=other.queue.put, threshold=THRESHOLD)
    assert tell_of_another(other)
    assert told.is_empty()
    wait_until(lambda: threads_that_tell() == 1, "the first thread ends")


def test_the_thread_ends_with_sight(told):
    assert tell_of_another(told)
    sight.stop()
    wait_until(lambda: threads_that_tell() == 0, "ended")


def test_none_looks_for_nothing(told):
    circle = Circle([golock.Lock] * 2)
    told()
    circle.end()
    sight.start("owners", on_deadlock=None)
    circle = Circle([golock.Lock] * 2)
    wait_until(sight.deadlocks, "found")
    sight.start("owners", on_deadlock=told.queue.put, threshold=THRESHOLD)
    assert members_of(told()) == ["member 0", "member 1"]  # the one that stands
    circle.end()


def test_reactions_that_are_none():
    with pytest.raises(ValueError, match=r"on_deadlock is none of report, raise: 'explode'"):
        sight.start("owners", on_deadlock="explode")
    with pytest.raises(TypeError, match="on_deadlock is no function and no logger: 3"):
        sight.start("owners", on_deadlock=3)
    assert sight.level() == "off"


FORK = """
import os
import queue
import threading
from typing import ClassVar
import warnings
import golock
from golock import sight

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside other threads
told = queue.SimpleQueue()
sight.start("owners", on_deadlock=told.put, threshold=0.02)


def deadlock():
    first, second = golock.Lock(), golock.Lock()
    both = threading.Barrier(2)

    def work(mine, other):
        mine.acquire()
        both.wait()
        other.acquire()

    for pair in ((first, second), (second, first)):
        threading.Thread(target=work, args=pair, daemon=True).start()


deadlock()
print(len(told.get(timeout=30).waits), flush=True)
child = os.fork()
if child == 0:
    assert sight.deadlocks() == ()
    deadlock()
    found = told.get(timeout=30)
    print(len(found.waits), len(sight.deadlocks()), told.empty(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(len(sight.deadlocks()), told.empty(), flush=True)
os._exit(0)
"""


def test_a_child_tells_of_its_own(python, check):
    check(python(FORK), "2\n2 1 True\n1 True\n")


IN_ENVIRONMENT = """
import sys
import threading
from typing import ClassVar
import golock

first, second = golock.Lock(), golock.Lock()
both = threading.Barrier(2)


def work(mine, other):
    try:
        with mine:
            both.wait()
            with other:
                pass
    except golock.DeadlockError:
        print("raised")


pairs = ((first, second), (second, first))
threads = [threading.Thread(target=work, args=pair) for pair in pairs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_environment_says_what_becomes_of_deadlocks(python, check, tmp_path):
    environment = {
        **os.environ,
        "GOLOCK_SIGHT": "owners,raise,0.02",
        "XDG_RUNTIME_DIR": str(tmp_path),  # where it listens
    }
    check(python(IN_ENVIRONMENT, env=environment), "raised\n")


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("owners,explode", "'explode' is none of report, raise, ignore, and no number of seconds"),
        ("owners,0", "the threshold is not positive: 0.0"),
    ],
)
def test_the_environment_is_wrong(python, wanted, problem):
    result = python(
        "from golock import sight; print(sight.level())",
        env={**os.environ, "GOLOCK_SIGHT": wanted},
    )
    assert result.stdout == "off\n"
    assert result.stderr == f"golock: GOLOCK_SIGHT={wanted}: {problem}\n"
