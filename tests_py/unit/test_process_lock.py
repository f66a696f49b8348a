"""Locks across processes: golock.process.Lock."""

from __future__ import annotations

import contextlib
import errno
import gc
import mmap
import multiprocessing
import os
import pickle
import secrets
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import golock
import limits
from children import Child
from golock import process
from golock.process import Event, Lock
from waiting import asleep_on_shared_word, start, wait_until

# From 3.12 on, os.fork() warns when the process has threads, the sentinel included.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

SLOTS, SLOT_SIZE, FIRST_SLOT, SIZE = 504, 32, 256, 16384


@pytest.fixture
def name():
    chosen = f"test {secrets.token_hex(8)}"
    yield chosen
    with contextlib.suppress(FileNotFoundError):
        process.unlink(chosen)


def page_of(name):
    return Path(process.folder(), name)


def holder(lock, die=None):
    """Return a child that has taken the lock, and does not end by itself without `die`."""

    def work(child):
        lock.acquire()
        child.ready()
        if die is not None:
            die()
        child.pause()

    return Child(work).wait_ready()


def waiter(lock, timeout=-1):
    """Return a child that sleeps until it gets the lock; then it is ready, and releases it."""

    def work(child):
        assert lock.acquire(timeout=timeout)
        child.ready()
        lock.release()

    child = Child(work)
    wait_until(child.asleep, "the waiter sleeps")
    return child


# The methods ----------------------------------------------------------------------------------


def test_it_is_a_lock(name):
    for lock in Lock(), Lock(name):
        assert lock.acquire()
        assert lock.locked()
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=0.01)
        lock.release()
        assert not lock.locked()
        with lock as entered:
            assert entered is True
            assert lock.holder == os.getpid()
        assert lock.holder is None
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((False, 1), ValueError),
        ((True, -2), ValueError),
        ((True, float("nan")), ValueError),
        ((True, 1e300), OverflowError),
        ((1, 2, 3), TypeError),
    ],
)
def test_bad_arguments_of_acquire(arguments, error):
    lock = Lock()
    with pytest.raises(error):
        lock.acquire(*arguments)
    assert not lock.locked()


def test_bad_arguments():
    with pytest.raises(TypeError):
        Lock(b"bytes")
    with pytest.raises(ValueError, match="empty"):
        Lock("")
    with pytest.raises(ValueError, match="on_abandoned"):
        Lock(on_abandoned="ignore")


def test_any_thread_releases():
    lock = Lock()
    start(lock.acquire).join()
    assert lock.locked()  # the thread has ended, and the process lives
    start(lock.release).join()
    assert not lock.locked()


def test_any_process_releases():
    lock = Lock()
    lock.acquire()
    assert Child(lambda _: lock.release()).status() == 0
    assert not lock.locked()


def test_threads_of_one_process_wait_for_each_other():
    lock, counts = Lock(), [0]

    def work():
        for turn in range(300):
            with lock:
                count = counts[0]
                if turn % 10 == 0:
                    time.sleep(0)
                counts[0] = count + 1

    threads = [start(work) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert counts[0] == 1200


def test_processes_exclude_each_other():
    lock = Lock()
    memory = mmap.mmap(-1, 8)

    def work(_):
        for _ in range(2000):
            with lock:
                count = int.from_bytes(memory[:8], "little")
                memory[:8] = (count + 1).to_bytes(8, "little")

    children = [Child(work) for _ in range(4)]
    assert [child.status() for child in children] == [0] * 4
    assert int.from_bytes(memory[:8], "little") == 8000


def test_waiters_are_served_in_order(restored_handoff):
    golock.set_handoff(0)
    lock = Lock()
    order, writer = os.pipe()
    lock.acquire()

    def wait_as(number):
        def work(_):
            with lock:
                os.write(writer, bytes([number]))

        child = Child(work)
        wait_until(child.asleep, "the waiter sleeps")
        return child

    children = [wait_as(number) for number in range(5)]
    lock.release()
    assert [child.status() for child in children] == [0] * 5
    assert os.read(order, 5) == bytes(range(5))


def test_control_c_ends_a_wait():
    lock = Lock()
    lock.acquire()

    def work(child):
        child.ready()
        with contextlib.suppress(KeyboardInterrupt):
            lock.acquire()
            os._exit(2)

    child = Child(work).wait_ready()
    wait_until(child.asleep, "it waits")
    os.kill(child.pid, signal.SIGINT)
    assert child.status() == 0
    lock.release()
    assert lock.acquire(timeout=10)


# Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["a", "../up", ".hidden", ".", "..", "ä/%2F", "x" * 5000, "\n"])
def test_any_string_names_a_lock(stem):
    name = stem + secrets.token_hex(4) if set(stem) != {"."} else stem
    lock, other = Lock(name), Lock(name + "'")
    try:
        same = Lock(name)
        with lock:
            assert same.locked()
            assert not other.locked()
        assert same.name == name
    finally:
        process.unlink(name)
        process.unlink(name + "'")


def test_unrelated_processes_share_a_name(name, python):
    lock = Lock(name)
    program = "import sys; from golock.process import Lock; print(Lock(sys.argv[1]).locked())"
    assert python(program, name).stdout == "False\n"
    with lock:
        assert python(program, name).stdout == "True\n"


def test_unlinked_name_is_another_lock(name):
    old = Lock(name)
    process.unlink(name)
    with old:
        assert not Lock(name).locked()
    with pytest.raises(FileNotFoundError):
        process.unlink(f"{name} of nobody")


def test_page_of_a_held_lock_outlives_its_object(name):
    Lock(name).acquire()
    lock = Lock(name)
    assert lock.locked()
    lock.release()


def test_page_is_private(name):
    Lock(name)
    assert page_of(name).stat().st_mode & 0o777 == 0o600
    assert page_of(name).parent.stat().st_mode & 0o777 == 0o700


def test_descriptors_and_mappings_are_given_back(name):
    def used():
        gc.collect()  # what other tests have left
        maps = Path("/proc/self/maps").read_text()
        return len(list(Path("/proc/self/fd").iterdir())), maps.count(name)

    Lock(name).acquire(False)
    Lock(name).release()
    before, maps = used()
    for _ in range(50):
        with Lock(name), Lock():
            pass
    after, maps_after = used()
    assert after <= before  # what other tests have left may be closed meanwhile
    assert maps == maps_after == 0


# What is refused ------------------------------------------------------------------------------


def refused(name, part, number=None):
    with pytest.raises(OSError, match=part) as raised:
        Lock(name)
    assert str(page_of(name)) in str(raised.value)
    assert number is None or raised.value.errno == number


def write_header(name, *words):
    page_of(name).write_bytes(struct.pack("=4I", *words).ljust(SIZE, b"\0"))
    page_of(name).chmod(0o600)


def test_foreign_file(name):
    page_of(name).write_bytes(b"somebody's data" * 2000)
    page_of(name).chmod(0o600)
    refused(name, "not a page of golock's")


@pytest.mark.parametrize("open_", [False, True], ids=["", "open"])
def test_torn_page(name, open_):
    lock = Lock(name)
    if not open_:
        del lock
    os.truncate(page_of(name), 5000)
    refused(name, "a torn page: 5000 bytes instead of 16384")
    os.truncate(page_of(name), 3)
    refused(name, "not a page of golock's")


def test_page_of_another_version(name):
    magic, version, size, kind, _ = golock._golock.page_layout()
    write_header(name, magic, version + 1, size, kind)
    refused(name, f"a page of version {version + 1}; this is version {version}")
    write_header(name, magic, version, size, kind + 7)
    refused(name, "not the page of a lock")


@pytest.mark.parametrize("open_", [False, True], ids=["", "open"])
def test_page_of_an_event(name, open_):
    event = Event(name)
    if not open_:
        del event
    refused(name, "not the page of a lock", errno.EINVAL)


def test_file_that_others_may_access(name):
    Lock(name)
    page_of(name).chmod(0o640)
    refused(name, "others may access it", errno.EPERM)


def test_symbolic_link(name, tmp_path):
    (tmp_path / "target").write_bytes(b"")
    page_of(name).symlink_to(tmp_path / "target")
    refused(name, "symbolic links", errno.ELOOP)


def test_folder_and_pipe(name):
    page_of(name).mkdir()
    refused(name, "Is a directory", errno.EISDIR)
    page_of(name).rmdir()
    os.mkfifo(page_of(name), 0o600)
    refused(name, "not a regular file")


IN_A_SMALL_MOUNT = """
import os, subprocess, sys
from pathlib import Path
{mount}
from golock.process import Lock
try:
    Lock("small")
except OSError as error:
    print(error)
"""


def in_namespace(python, mount):
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("needs mount namespaces")
    program = IN_A_SMALL_MOUNT.format(mount=mount)
    code = """
        import os, sys
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-c", sys.argv[1]])
        """
    return python(code, program).stdout


def test_no_room_in_the_file_system(python):
    mount = """
subprocess.run("mount -t tmpfs -o size=8k tmpfs /dev/shm", shell=True, check=True)
"""
    folder = f"/dev/shm/golock-{os.geteuid()}"
    assert (
        in_namespace(python, mount)
        == f"[Errno {errno.ENOSPC}] No space left on device: '{folder}/small'\n"
    )


def test_folder_that_others_may_enter(python):
    mount = """
subprocess.run("mount -t tmpfs tmpfs /dev/shm", shell=True, check=True)
folder = Path(f"/dev/shm/golock-{os.geteuid()}")
folder.mkdir()
folder.chmod(0o755)
"""
    assert "others may enter it (mode 755): '/dev/shm/golock-" in in_namespace(python, mount)


def test_folder_that_is_a_link(python):
    mount = """
subprocess.run("mount -t tmpfs tmpfs /dev/shm", shell=True, check=True)
os.symlink("/tmp", f"/dev/shm/golock-{os.geteuid()}")
"""
    assert "not a folder: '/dev/shm/golock-" in in_namespace(python, mount)


def test_folder_is_made_whatever_the_umask(python):
    mount = """
subprocess.run("mount -t tmpfs tmpfs /dev/shm", shell=True, check=True)
os.umask(0o777)
from golock import process
print(oct(os.stat(process.folder()).st_mode))
"""
    assert in_namespace(python, mount) == "0o40700\n"


def test_no_descriptor_is_left(python, check):
    program = """
        import resource
        from golock.process import Event, Lock
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        for make in Lock, Event, lambda: Lock("a name"):
            try:
                make()
            except OSError as error:
                print(error)
        """
    refused = f"[Errno {errno.EMFILE}] Too many open files: "
    files = "memfd:golock", "memfd:golock", f"/dev/shm/golock-{os.geteuid()}/a name"
    check(python(program), "".join(f"{refused}'{file}'\n" for file in files))


def test_refused_memfd():
    def work(_):
        limits.NoMemfd().apply()
        with pytest.raises(PermissionError, match="memfd:golock"):
            Lock()

    assert Child(work).status() == 0


def write_slots(lock, word, first=0, count=SLOTS):
    """Make slots look as if living threads guarded them."""
    with mmap.mmap(lock._descriptor(), SIZE) as page:
        for slot in range(first, first + count):
            at = FIRST_SLOT + SLOT_SIZE * slot
            page[at : at + 16] = struct.pack("=4I", word, 0, word, 0)


def test_full_table(name):
    lock = Lock(name)
    write_slots(lock, 12345)
    with pytest.raises(OSError, match=f"all {SLOTS} slots of the page .*{name}.* are taken"):
        lock.acquire()
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    write_slots(lock, 0, SLOTS - 1, 1)  # one of them is free now
    assert lock.acquire()
    lock.release()


# Deaths ---------------------------------------------------------------------------------------


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def execute():
    os.execv(sys.executable, [sys.executable, "-c", "input()"])


DEATHS = {
    "kill": kill_self,
    "exit": lambda: os._exit(0),
    "crash": crash,
    "exec": execute,
    "end of the program": lambda: sys.exit(0),
}


@pytest.fixture(params=["sentinel", "byte locks"])
def sentinel(request, monkeypatch):
    """Run a test with and without sentinels: the kernel may refuse what they need."""
    if request.param == "byte locks":
        monkeypatch.setenv("GOLOCK_SENTINEL", "0")
    return request.param


@pytest.mark.parametrize("death", DEATHS)
def test_dead_holder_frees_the_lock(death, sentinel, name):
    for lock in Lock(), Lock(name):
        child = holder(lock)
        assert not lock.acquire(False)
        child.kill()
        child = holder_that_dies(lock, DEATHS[death])
        assert lock.acquire(timeout=20)
        assert lock.abandoned
        assert lock.recover() == 2
        assert not lock.abandoned
        assert lock.recover() == 0
        lock.release()
        os.close(child.end)
        child.end = os.open("/dev/null", os.O_RDONLY)
        if death == "exec":
            os.kill(child.pid, signal.SIGKILL)
        child.status()


def holder_that_dies(lock, die):
    def work(child):
        lock.acquire()
        child.ready()
        child.pause()
        die()

    child = Child(work).wait_ready()
    timer = threading.Timer(0.05, child.go_on)
    timer.start()
    timer.join()
    return child


def test_waiter_gets_the_lock_of_a_dead_holder(sentinel):
    lock = Lock()
    child = holder(lock)
    got = []
    thread = start(lambda: got.append(lock.acquire(timeout=20)))
    wait_until(lambda: asleep_on_shared_word(thread), "the thread waits")
    child.kill()
    thread.join()
    assert got == [True]
    assert lock.abandoned


def test_each_death_is_told_once(sentinel):
    lock = Lock()
    told = 0
    for turn in range(20):
        child = holder(lock)
        child.kill()
        if turn % 3 == 0:
            with lock:
                told += lock.recover()
    with lock:
        told += lock.recover()
        assert lock.recover() == 0
    assert told == 20


def test_deaths_stay_until_recovered():
    lock = Lock()
    holder(lock).kill()
    for _ in range(3):
        with lock:
            assert lock.abandoned
    holder(lock).kill()
    with lock:
        assert lock.recover() == 2
        assert not lock.abandoned


def test_only_a_holder_recovers():
    lock = Lock()
    holder(lock).kill()
    lock.acquire(False)
    lock.release()
    with pytest.raises(RuntimeError, match="holds"):
        lock.recover()
    child = holder(lock)
    with pytest.raises(RuntimeError, match="holds"):
        lock.recover()
    assert lock.abandoned
    child.kill()


def test_abandoned_is_raised_on_request(name, sentinel):
    lock = Lock(name, on_abandoned="raise")
    with lock:
        pass
    holder(lock).kill()
    for _ in range(2):
        with pytest.raises(golock.Abandoned, match=name):
            lock.acquire()
        assert not lock.locked()
    with Lock(name) as _:
        assert Lock(name).recover() == 1
    with lock:
        pass


def test_abandoned_is_raised_in_a_wait():
    lock = Lock(on_abandoned="raise")
    child = holder(lock)
    outcomes = []

    def work():
        try:
            lock.acquire(timeout=20)
        except golock.Abandoned:
            outcomes.append("abandoned")

    threads = [start(work) for _ in range(3)]
    for thread in threads:
        wait_until(lambda thread=thread: asleep_on_shared_word(thread), "the thread waits")
    child.kill()
    for thread in threads:
        thread.join()
    assert outcomes == ["abandoned"] * 3


def test_ended_process_without_the_lock_is_no_death():
    lock = Lock()

    def work(_):
        with lock:
            pass

    assert Child(work).status() == 0
    child = Child(lambda child: (lock.acquire(), lock.release(), child.ready(), child.pause()))
    child.wait_ready().kill()
    with lock:
        assert not lock.abandoned


def test_slots_of_the_dead_are_used_again(sentinel):
    lock = Lock()
    lock.acquire()
    lock.release()
    for _ in range(3):
        holder(lock).kill()
    with mmap.mmap(lock._descriptor(), SIZE) as page:
        used = [
            slot for slot in range(SLOTS) if any(page[FIRST_SLOT + SLOT_SIZE * slot :][:SLOT_SIZE])
        ]
    assert used == [0, 1]


def test_slot_is_taken_over_by_another_process(sentinel):
    """A lock held by the dead owner of a slot is freed by the next owner of the slot."""
    lock = Lock()
    holder(lock).kill()
    child = holder(lock)  # nobody has looked in between
    child.kill()
    with lock:
        assert lock.recover() == 2


# Forks ----------------------------------------------------------------------------------------


def test_forked_child_holds_nothing():
    lock = Lock()
    with lock:
        child = Child(lambda child: (child.ready(), child.pause())).wait_ready()
        child.kill()
        assert not lock.acquire(timeout=0.2)
        assert lock.holder == os.getpid()
        assert not lock.abandoned


def test_parent_dies_and_its_child_lives(sentinel):
    lock = Lock()
    lives, live = os.pipe()
    pid, told = os.pipe()

    def work(child):
        lock.acquire()
        if os.fork() == 0:
            os.write(told, struct.pack("=I", os.getpid()))
            os.read(lives, 1)
            os._exit(0)
        child.ready()
        child.pause()

    child = Child(work).wait_ready()
    grandchild = struct.unpack("=I", os.read(pid, 4))[0]
    child.kill()
    assert lock.acquire(timeout=20)
    assert lock.abandoned
    os.kill(grandchild, 0)
    os.write(live, b"e")


def test_child_forked_by_a_thread_ends_with_its_last_thread(python, check):
    program = """
        import os, threading
        from golock.process import Lock
        lock = Lock()
        lock.acquire(); lock.release()
        def fork():
            pid = os.fork()
            if pid:
                print(os.waitpid(pid, 0)[1])
            else:
                for _ in range(10):
                    with lock:
                        pass
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        """
    result = python(program, timeout=60)
    assert result.stdout == "0\n"


def test_handler_that_forks_in_a_wait():
    lock = Lock()

    def work(child):
        mine = os.getpid()

        def fork(*_):
            pid = os.fork()
            if pid:
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

        signal.signal(signal.SIGUSR1, fork)
        child.ready()
        taken = lock.acquire(timeout=1 if os.getpid() == mine else 0)
        if os.getpid() != mine:
            os._exit(7 if not taken else 8)

    lock.acquire()
    child = Child(work).wait_ready()
    wait_until(child.asleep, "it waits")
    os.kill(child.pid, signal.SIGUSR1)
    assert child.status() == 0
    lock.release()


def test_handler_that_forks_and_raises_in_the_child():
    """The handler uses the lock there, and the wait does not go on: it leaves no debt."""
    lock = Lock()

    class InChildError(Exception):
        pass

    def debts():
        with mmap.mmap(lock._descriptor(), SIZE) as page:
            slots = (FIRST_SLOT + SLOT_SIZE * slot for slot in range(3))
            return [struct.unpack_from("=I", page, at + 28)[0] for at in slots]

    def fork(*_):
        pid = os.fork()
        if pid == 0:
            lock.acquire(False)
            raise InChildError
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    def work(child):
        signal.signal(signal.SIGUSR1, fork)
        child.ready()
        try:
            lock.acquire(timeout=1)
        except InChildError:
            os._exit(7 if debts() == [0, 1, 0] else 8)

    lock.acquire()
    child = Child(work).wait_ready()
    wait_until(child.asleep, "it waits")
    os.kill(child.pid, signal.SIGUSR1)
    assert child.status() == 0
    lock.release()


def test_fork_while_a_lock_is_opened(name, monkeypatch):
    """As a signal handler may: the child opens it as well."""
    open_ = process._open

    def fork(*arguments):
        pid = os.fork()
        if pid != 0:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        return open_(*arguments)

    def work(_):
        me = os.getpid()
        monkeypatch.setattr(process, "_open", fork)
        lock = Lock(name)
        if os.getpid() != me:
            assert lock.acquire(False)
            os._exit(7)

    assert Child(work).status() == 0


# Stopped processes ----------------------------------------------------------------------------


def test_stopped_holder_keeps_the_lock():
    lock = Lock()
    child = holder(lock)
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(child.stopped, "it is stopped")
    assert not lock.acquire(timeout=0.5)
    assert not lock.abandoned
    os.kill(child.pid, signal.SIGCONT)
    child.kill()


@pytest.mark.parametrize("handoff", [0.001, 0])
def test_stopped_waiter_delays_nobody_for_long(sentinel, handoff, restored_handoff):
    golock.set_handoff(handoff)
    lock = Lock()
    lock.acquire()
    stopped = waiter(lock)
    os.kill(stopped.pid, signal.SIGSTOP)
    wait_until(stopped.stopped, "it is stopped")
    others = [waiter(lock) for _ in range(2)]
    lock.release()  # which wakes the stopped one
    assert [child.wait_ready().status() for child in others] == [0, 0]
    for _ in range(100):
        assert lock.acquire(timeout=20)
        lock.release()
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait_ready().status() == 0


def test_waiter_that_is_killed_when_it_is_woken(sentinel):
    lock = Lock()
    lock.acquire()
    first = waiter(lock)
    os.kill(first.pid, signal.SIGSTOP)
    wait_until(first.stopped, "it is stopped")
    second = waiter(lock)
    lock.release()
    first.kill()
    assert second.wait_ready().status() == 0


# Who holds it ---------------------------------------------------------------------------------

IN_A_PID_NAMESPACE = """
import sys
from golock.process import Lock
lock = Lock(sys.argv[1])
print(lock.holder, lock.locked(), repr(lock).rpartition(": ")[2], flush=True)
sys.stdin.readline()
lock.acquire()
print(lock.holder, flush=True)
sys.stdin.readline()
"""


def test_holder_in_another_pid_namespace(name):
    inside = ["unshare", "--pid", "--fork"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs PID namespaces")
    lock = Lock(name)
    command = [*inside, sys.executable, "-c", IN_A_PID_NAMESPACE, name]
    lock.acquire()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        assert child.stdout.readline() == "None True held>\n"  # this process has no id there
        lock.release()
        child.stdin.write("\n")
        assert child.stdout.readline() == "1\n"
        tasks = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()
        assert lock.holder == int(tasks)
        assert repr(lock).endswith(f": held by process {lock.holder}>")
        child.stdin.write("\n")


# Pickling -------------------------------------------------------------------------------------


def release_it(lock, ready):
    assert lock.locked()
    lock.release()
    ready.send(True)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_sent_to_a_child(method, name):
    context = multiprocessing.get_context(method)
    for lock in Lock(), Lock(name):
        receiver, sender = context.Pipe(duplex=False)
        lock.acquire()
        child = context.Process(target=release_it, args=(lock, sender))
        child.start()
        assert receiver.recv()
        child.join()
        assert child.exitcode == 0
        assert not lock.locked()


def echo(connection):
    lock = connection.recv()
    again = connection.recv()
    with lock:
        connection.send(again.locked())
        connection.recv()
    connection.send(again)
    connection.recv()


def test_sent_to_a_running_process(sentinel):
    """A lock that a process gets twice is one, and its slot's byte lock is not lost."""
    context = multiprocessing.get_context("spawn")
    lock = Lock()
    here, there = context.Pipe()
    child = context.Process(target=echo, args=(there,))
    child.start()
    here.send(lock)
    here.send(lock)
    assert here.recv() is True
    assert not lock.acquire(timeout=0.3)
    assert lock.holder == child.pid
    here.send(None)
    returned = here.recv()
    with lock:
        assert returned.locked()
    here.send(None)
    child.join()
    assert child.exitcode == 0


def test_raising_lock_stays_one(name):
    lock = pickle.loads(pickle.dumps(Lock(name, on_abandoned="raise")))
    holder(lock).kill()
    with pytest.raises(golock.Abandoned):
        lock.acquire()


# When the kernel refuses, and programs that close all descriptors -----------------------------


class NoWaitv(limits.Seccomp):
    program = (
        (limits.LOAD, 0, 0, limits.NUMBER),
        (limits.EQUAL, 0, 1, 449),
        (limits.RETURN, 0, 0, limits.REFUSE),
        (limits.RETURN, 0, 0, limits.ALLOW),
    )


def test_refused_system_call():
    lock = Lock()

    def work(child):
        NoWaitv().apply()
        lock.acquire()
        child.ready()
        child.pause()

    child = Child(work).wait_ready()
    assert not lock.acquire(timeout=0.3)
    child.kill()
    assert lock.acquire(timeout=20)
    assert lock.abandoned


def test_holder_that_closes_all_descriptors():
    lock = Lock()
    lock.acquire()
    lock.release()

    def work(child):
        lock.acquire()
        os.dup2(0, lock._descriptor())  # another file gets the number
        child.ready()
        child.pause()
        lock.release()
        lock.acquire()
        child.ready()
        child.pause()

    child = Child(work).wait_ready()
    assert not lock.acquire(timeout=0.3)
    assert not lock.abandoned
    child.go_on()
    child.wait_ready()
    child.kill()
    assert lock.acquire(timeout=20)
    assert lock.abandoned


def test_child_of_a_process_that_has_closed_all_descriptors(name):
    lock = Lock(name)

    def work(child):
        with lock:
            pass
        os.close(lock._descriptor())
        grandchild = Child(lambda _: (lock.acquire(), lock.release()))
        assert grandchild.status() == 0

    assert Child(work).status() == 0


def test_descriptor_that_is_gone_before_the_first_use():
    def work(_):
        lock = Lock()
        os.close(lock._descriptor())
        with pytest.raises(OSError, match="descriptor of the page 'memfd:golock' was closed"):
            lock.acquire()

    assert Child(work).status() == 0


def test_sentinel_takes_no_signals(python, check):
    program = """
        import os, signal, time
        from golock.process import Lock
        with Lock():
            pass
        me = os.getpid()
        blocked = [
            int(line.split()[1], 16)
            for task in os.listdir('/proc/self/task') if int(task) != me
            for line in open(f'/proc/self/task/{task}/status') if line.startswith('SigBlk')
        ]
        print(all(mask >> (signal.SIGTERM - 1) & 1 for mask in blocked), len(blocked) >= 1)
        """
    check(python(program), "True True\n")


def test_many_locks_have_several_sentinels():
    locks = [Lock() for _ in range(100)]

    def work(child):
        for lock in locks:
            lock.acquire()
        child.ready()
        child.pause()

    child = Child(work).wait_ready()
    child.kill()
    for lock in locks:
        assert lock.acquire(timeout=20)
        assert lock.abandoned
