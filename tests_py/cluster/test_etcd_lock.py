"""golock.etcd.Lock, on a real etcd. tests_go/etcd has the tests of the protocol under faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from waiting import asleep_in_kernel, start, wait_until

etcd = pytest.importorskip(
    "golock.etcd", reason="golock-etcd is not installed: make etcd", exc_type=ImportError
)

HOUR = 3600


def program(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program in which `lock` is the lock that the first argument names."""
    head = """
        import os, signal, sys, threading, time
        import golock, golock.etcd
        lock = golock.etcd.Lock(sys.argv[1], ttl=float(sys.argv[2]))
        def say(what):
            print(what, flush=True)
    """
    text = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_acquire_and_release(name):
    lock, other = etcd.Lock(name), etcd.Lock(name, ttl=11)
    assert lock.acquire() is True
    assert lock.locked()
    assert not lock.lost
    first = lock.token
    assert other.acquire(blocking=False) is False
    assert other.acquire(timeout=0.05) is False
    assert not other.locked()
    assert other.lost
    lock.check()
    assert lock.holder()["pid"] == os.getpid()
    lock.release()
    wait_until(lambda: lock.holder() is None, "the key of the wait that timed out is gone")
    with other as entered:
        assert entered is other
        assert other.token > first
    assert lock.acquire(blocking=False) is True
    lock.release()


def test_of_what_is_not_held(name):
    lock = etcd.Lock(name)
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    for use in (lock.check, lambda: lock.token, lambda: lock.key):
        with pytest.raises(RuntimeError, match="not held"):
            use()
    assert lock.lost


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((False, 1), ValueError),
        ((True, -2), ValueError),
        ((True, float("nan")), ValueError),
        ((True, 1e300), OverflowError),
    ],
)
def test_arguments_of_acquire(name, arguments, error):
    with pytest.raises(error):
        etcd.Lock(name).acquire(*arguments)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-2, ValueError), (float("nan"), ValueError), (1e10, OverflowError)],
)
def test_timeouts_of_guard(name, timeout, error):
    with etcd.Lock(name) as lock, pytest.raises(error):
        lock.guard(etcd.Txn(), timeout=timeout)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": ""}, ValueError),
        ({"name": 1}, TypeError),
        ({"name": "x", "ttl": 0}, ValueError),
        ({"name": "x", "ttl": 1e10}, ValueError),
        ({"name": "x", "ttl": float("inf")}, ValueError),
        ({"name": "x", "patience": 0}, ValueError),
        ({"name": "x", "prefix": ""}, ValueError),
        ({"name": "x", "prefix": "a\0"}, ValueError),
        ({"name": "x", "prefix": b"a/"}, TypeError),
        ({"name": "x", "endpoints": ""}, ValueError),
        ({"name": "x", "endpoints": []}, ValueError),
        ({"name": "x", "endpoints": b"127.0.0.1:2379"}, TypeError),
        ({"name": "x", "endpoints": [b"127.0.0.1:2379"]}, TypeError),
    ],
)
def test_arguments_of_the_lock(arguments, error):
    with pytest.raises(error):
        etcd.Lock(**arguments)


def test_no_limits(name):
    with etcd.Lock(name, patience=float("inf"), handoff=float("inf")):
        pass


def test_files_that_are_missing():
    with pytest.raises(ValueError, match="no-such-file"):
        etcd.Lock("x", ca="no-such-file").acquire()


def test_names_do_not_touch(name):
    with etcd.Lock(name):
        for other in (f"{name}/x", f"{name} ", f"{name}%", "ä", "🔒"):
            with etcd.Lock(other):
                pass


def test_threads_and_processes_exclude_each_other(name, tmp_path):
    count = tmp_path / "count"
    count.write_text("0")
    code = """
        def work():
            mine = golock.etcd.Lock(sys.argv[1])
            for _ in range(50):
                with mine:
                    with open(sys.argv[3]) as file:
                        n = int(file.read())
                    with open(sys.argv[3], "w") as file:
                        file.write(str(n + 1))
        threads = [threading.Thread(target=work) for _ in range(3)]
        for each in threads: each.start()
        for each in threads: each.join()
    """
    processes = [program(code, name, "10", str(count)) for _ in range(3)]
    assert [each.wait(120) for each in processes] == [0, 0, 0]
    assert count.read_text() == "450"


def test_interrupted_wait_leaves_nothing(name):
    code = """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("waits")
        try:
            lock.acquire()
        except KeyboardInterrupt:
            say("interrupted")
        sys.stdin.readline()
    """
    with etcd.Lock(name) as lock:
        waiter = program(code, name, str(HOUR))
        assert line(waiter) == "waits"
        time.sleep(0.2)  # may be before the wait or in it; either must do
        waiter.send_signal(signal.SIGINT)
        assert line(waiter) == "interrupted"
    assert lock.acquire(timeout=30)
    lock.release()
    waiter.communicate()


def test_exit_frees_the_lock(name):
    holder = program("lock.acquire()", name, str(HOUR))
    assert holder.wait(30) == 0
    lock = etcd.Lock(name)
    assert lock.acquire(timeout=30)
    lock.release()


def test_killed_holder_is_noticed_on_this_machine(name):
    holder = program("lock.acquire(); say('has it'); time.sleep(3600)", name, str(HOUR))
    assert line(holder) == "has it"
    lock = etcd.Lock(name)
    waiter = start(lock.acquire)
    holder.kill()
    waiter.join(30)
    assert lock.locked()
    lock.release()
    holder.communicate()


def test_paused_holder_has_lost_it(name):
    """The rival gets the lock while the holder is stopped, and the holder sees it at once."""
    code = """
        told = []
        lock.on_lost = told.append
        lock.acquire()
        say(lock.lost)
        sys.stdin.readline()
        say(lock.lost)
        try:
            lock.check()
        except golock.LockLost as error:
            say(error)
        try:
            lock.release()
        except golock.LockLost:
            say("LockLost")
        while not told: time.sleep(0.01)
        say(told == [lock])
    """
    holder = program(code, name, "1")
    assert line(holder) == "False"
    holder.send_signal(signal.SIGSTOP)
    lock = etcd.Lock(name)
    assert lock.acquire(timeout=60)
    go_on(holder)
    holder.send_signal(signal.SIGCONT)
    assert line(holder) == "True"
    assert "was lost" in line(holder)
    assert line(holder) == "LockLost"
    assert not lock.lost  # the late release has not touched it
    lock.release()
    assert line(holder) == "True"
    holder.communicate()


def test_forked_child_holds_nothing(name):
    lock = etcd.Lock(name)
    lock.acquire()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert lock.lost
            assert not lock.locked()
            with pytest.raises(RuntimeError):
                lock.release()
            assert lock.acquire(timeout=0.05) is False
            with etcd.Lock(f"{name} of the child") as own:
                own.check()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    lock.check()
    lock.release()


def test_child_that_exits_revokes_nothing(name):
    code = """
        lock.acquire()
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        lock.check()
        say(lock.guard(golock.etcd.Txn().get("x")))
        lock.release()
    """
    holder = program(code, name, "10")
    assert line(holder) == "[None]"
    assert holder.wait(30) == 0


def test_one_go_runtime(name, python):
    code = f"""
        import golock.etcd
        lock = golock.etcd.Lock({name!r})
        with lock:
            assert not lock.lost
        core = golock._golock.core()
        assert core["loaded"] and core["offered"]
        assert "libgolock.so" not in open("/proc/self/maps").read()
    """
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_two_go_runtimes(name, python):
    code = f"""
        import threading
        import golock
        first = golock.Lock()
        first.acquire()
        waiter = threading.Thread(target=first.acquire)
        waiter.start()
        while not golock._golock.core()["loaded"]: pass
        import golock.etcd
        first.release()
        waiter.join()
        assert not golock._golock.core()["offered"]
        lock = golock.etcd.Lock({name!r})
        with lock:
            assert lock.acquire(timeout=0.05) is False
    """
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_without_the_library(python):
    done = python("import sys; sys.modules['golock_etcd'] = None; import golock.etcd")
    assert "ImportError: golock.etcd needs" in done.stderr
    assert "pip install golock[etcd]" in done.stderr


def test_error_names_the_endpoint(name):
    lock = etcd.Lock(name, endpoints="127.0.0.1:1", patience=0.1)
    with pytest.raises(etcd.EtcdError, match=r"127\.0\.0\.1:1: .*refused"):
        lock.acquire()
    with pytest.raises(ConnectionError):
        lock.acquire(blocking=False)
    assert etcd.Lock(name, endpoints="127.0.0.1:1").acquire(timeout=0.05) is False


def test_guard(name):
    lock = etcd.Lock(name)
    row = f"row of {name}"
    with lock:
        assert lock.guard(etcd.Txn().put(row, "1").get(row).get("nothing")) == [b"1", None]
        holder = etcd.Lock("another")
        with holder:
            holder.guard(etcd.Txn().delete(lock.key))  # as somebody with etcdctl
        with pytest.raises(etcd.LockLost):
            lock.guard(etcd.Txn().put(row, "2"))
        with pytest.raises(etcd.LockLost):
            lock.release()
        lock.acquire()
        assert lock.guard(etcd.Txn().get(row)) == [b"1"]


def test_fence():
    fence = etcd.Fence()
    fence.admit(1)
    fence.admit(3)
    fence.admit(3)
    with pytest.raises(etcd.StaleToken):
        fence.admit(2)
    assert fence.highest == 3


def test_waiters_of_the_process_have_one_key(name):
    lock, found = etcd.Lock(name, handoff=HOUR), []
    lock.acquire()

    def work():
        mine = etcd.Lock(name, handoff=HOUR)
        mine.acquire()
        found.append((mine.revision, mine.token))
        mine.release()

    revision, token = lock.revision, lock.token
    threads = [start(work) for _ in range(4)]
    for each in threads:
        wait_until(lambda each=each: asleep_in_kernel(each), "the thread waits")
    lock.release()
    for each in threads:
        each.join()
    assert {each[0] for each in found} == {revision}
    assert [each[1] for each in found] == [token + 1, token + 2, token + 3, token + 4]


def test_on_lost_is_not_told_of_releases(name):
    told = []
    lock = etcd.Lock(name, on_lost=told.append)
    for _ in range(3):
        with lock:
            pass
    assert told == []
