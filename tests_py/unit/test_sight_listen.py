"""A process that listens for clients of golock.sight, seen from outside."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from golock.sight._client import MAGIC, Client, ClientError

PRELUDE = """
import os, sys, threading, time
import golock
from golock import sight

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one line at a time

def hear():
    return sys.stdin.readline()

sight.start("owners")
say(sight.listen())
"""


class Target:
    """A process that has run PRELUDE, and then runs the program."""

    def __init__(self, program, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
            env={**os.environ, "XDG_RUNTIME_DIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.path = self.hear()

    def hear(self):
        line = self.process.stdout.readline().removesuffix("\n")
        if not line:
            pytest.fail(self.process.communicate()[1])
        return line

    def say(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def client(self, pid=None):
        return Client(pid or self.pid)

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        connection.settimeout(30)
        return connection

    def descriptors(self):
        return links_of(self.pid)

    def end(self):
        """Let the program end, and return what it printed then."""
        out, error = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, error) == (0, "")
        return out


def links_of(process):
    found = {}
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(entry.name)] = str(entry.readlink())
    return found


@pytest.fixture
def folder(monkeypatch):
    folder = tempfile.mkdtemp(prefix="golock")  # the path of a socket is short
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def target(folder):
    targets = []

    def target(program="hear()"):
        targets.append(Target(program, folder))
        return targets[-1]

    yield target
    for each in targets:
        each.process.kill()
        each.process.communicate()


def eventually(condition):
    for _ in range(3000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def is_closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def request(kind, argument=0, magic=MAGIC):
    return struct.pack("<IIQ", magic, kind, argument)


def test_it_says_who_it_is_and_its_level_is_set(target):
    listening = target("""
        hear()
        say(sight.level())
        hear()
    """)
    with listening.client() as client:
        hello = client.hello()
        assert hello["pid"] == listening.pid
        assert hello["python"] == ".".join(map(str, sys.version_info[:3]))
        assert hello["level"] == "owners"
        assert hello["command"].startswith(f"{sys.executable} -c \nimport os")
        client.set_level(1)
        assert client.hello()["level"] == "waits"
        with pytest.raises(ClientError):
            client.set_level(4)
    listening.say()
    assert listening.hear() == "waits"


def test_a_second_call_does_nothing_and_forgets_no_client(target):
    listening = target("""
        hear()
        say(sight.listen())
        sight.stop()
        sight.start("waits")
        hear()
    """)
    with listening.client() as client:
        client.hello()
        listening.say()
        assert listening.hear() == listening.path
        assert eventually(lambda: client.hello()["level"] == "waits")


def test_only_its_user_reaches_the_socket(target):
    listening = target()
    assert Path(listening.path).parent == Path(listening.folder, "golock")
    assert stat.S_IMODE(Path(listening.path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(listening.path).parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_whatever_the_modes_are(target):
    listening = target()
    for place in (listening.folder, Path(listening.path).parent, listening.path):
        os.chmod(place, 0o777)  # noqa: PTH101
    program = f"""
import os, socket
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.connect({listening.path!r})
try:
    connection.send({request(1)!r})
    print(connection.recv(1))
except ConnectionError:
    print(b"")
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "b''\n"
    with listening.connect() as connection:
        connection.send(request(1))
        assert connection.recv(1)


def test_it_answers_while_c_code_keeps_the_gil(target):
    listening = target("""
        import ctypes
        usleep = ctypes.PyDLL(None).usleep
        say("keeping")
        usleep(5_000_000)
        say("kept")
        hear()
    """)
    assert listening.hear() == "keeping"
    with listening.client() as client:
        for _ in range(20):
            client.hello()
            client.image()
            client.set_level(1)
            client.set_level(2)
    kept, _, _ = select.select([listening.process.stdout], [], [], 0)
    assert not kept


def test_it_answers_while_all_threads_are_blocked(target):
    listening = target("""
        sight.start("owners", on_deadlock=None)
        first, second = golock.Lock(), golock.Lock()
        both = threading.Barrier(2)

        def work(mine, other):
            with mine:
                both.wait()
                say("waits")
                other.acquire()

        threading.Thread(target=work, args=(first, second), daemon=True).start()
        work(second, first)
    """)
    listening.hear()
    listening.hear()
    with listening.client() as client:
        assert eventually(lambda: len(client.image().cycles) == 1)


def test_threads_that_take_one_lock_again_and_again_have_their_names(target):
    """None of them waits, and they are known before threading knows them."""
    listening = target("""
        golock.install()
        lock, over = threading.Lock(), threading.Event()

        def work():
            for _ in range(100):
                with lock:
                    pass
            over.wait()

        sight.stop()
        threads = [threading.Thread(target=work, name=f"worker {i}") for i in range(4)]
        sight.start("owners")
        for thread in threads:
            thread.start()
        while lock.locked():
            pass
        say("started")
        hear()
        over.set()
    """)
    assert listening.hear() == "started"

    def names():
        with listening.client() as client:
            image = client.image()
        return {image.string(image.thread(each.key).name) for each in image.threads}

    assert eventually(lambda: {f"worker {i}" for i in range(4)} <= names())
    listening.end()


def test_the_ninth_client_takes_the_place_of_the_oldest(target):
    listening = target()
    clients = [listening.client() for _ in range(9)]
    for client in clients[1:]:
        client.hello()
    with pytest.raises(ClientError):
        clients[0].hello()
    for client in clients:
        client.close()


def test_a_thousand_clients(target):
    listening = target()
    with listening.client() as client:
        client.hello()  # the service runs
        before = len(listening.descriptors()) - 1
    connections = []
    for _ in range(1000):
        connections.append(listening.connect())
        connections[-1].send(request(1))
    with listening.client() as client:
        client.hello()
        assert len(listening.descriptors()) <= before + 8
    for connection in connections[:-8]:
        while not is_closed(connection):  # its reply comes first
            pass
    for connection in connections:
        connection.close()
    assert eventually(lambda: len(listening.descriptors()) == before)


@pytest.mark.parametrize(
    "frame", [b"GET / HTTP/1.1\r\n\r\n", bytes(16), request(0), request(4), request(1, magic=1)]
)
def test_a_bad_frame_closes_the_connection(target, frame):
    listening = target()
    with listening.connect() as bad:
        bad.send(frame)
        assert is_closed(bad)
    with listening.client() as client:
        client.hello()


def test_a_forked_child_listens_under_its_own_name(target):
    listening = target("""
        lock = golock.Lock()
        lock.acquire()
        threading.Thread(target=lock.acquire, daemon=True).start()
        while not sight.snapshot().waits:
            pass
        sight.start("waits")
        child = os.fork()
        if child == 0:
            time.sleep(100)
            os._exit(0)
        say(child)
        hear()
    """)
    child = int(listening.hear())
    assert eventually(lambda: Path(listening.folder, "golock", f"{child}.sock").exists())
    with listening.client(child) as client, listening.client() as parents:
        hello = client.hello()
        assert (hello["pid"], hello["level"]) == (child, "waits")
        assert parents.hello()["pid"] == listening.pid
        assert (len(client.image().waits), len(parents.image().waits)) == (0, 1)
        sockets = {
            process: {link for link in links_of(process).values() if link.startswith("socket:")}
            for process in (listening.pid, child)
        }
        assert sockets[child].isdisjoint(sockets[listening.pid])
        assert len(sockets[child]) == len(sockets[listening.pid])
    os.kill(child, signal.SIGKILL)


def test_a_child_forked_by_another_thread_does_not_listen(target):
    listening = target("""
        import warnings
        warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)

        def fork():
            child = os.fork()
            if child == 0:
                say(len(os.listdir(os.environ["XDG_RUNTIME_DIR"] + "/golock")))
                os._exit(0)
            os.waitpid(child, 0)

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        hear()
    """)
    assert listening.hear() == "1"
    with listening.client() as client:
        client.hello()
    assert listening.end() == ""


def test_it_ends_with_clients_attached(target):
    listening = target()
    with listening.connect() as connection, listening.client() as client:
        client.hello()
        connection.send(request(1)[:5])
        assert listening.end() == ""
        assert is_closed(connection)
    assert list(Path(listening.folder, "golock").iterdir()) == []


def test_sockets_of_dead_processes_are_removed(target):
    dead = target()
    dead.process.kill()
    dead.process.wait()
    assert Path(dead.path).exists()
    alive = target()
    assert [Path(alive.path)] == list(Path(alive.folder, "golock").iterdir())


def test_a_parent_removes_the_sockets_of_children_that_ended_by_os_exit(target):
    listening = target("""
        import warnings
        warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        say(child)
        hear()
    """)
    child = int(listening.hear())
    assert Path(listening.folder, "golock", f"{child}.sock").exists()
    assert listening.end() == ""
    assert list(Path(listening.folder, "golock").iterdir()) == []


def test_it_has_few_descriptors_and_threads(folder):
    program = """
        import os, time
        import golock
        from golock import sight

        def threads():
            return len(os.listdir("/proc/self/task"))

        def descriptors():
            names = os.listdir("/proc/self/fd")
            links = []
            for name in names:
                try:
                    links.append(os.readlink("/proc/self/fd/" + name).split(":")[0])
                except FileNotFoundError:
                    pass
            return links

        golock._golock.core_address()
        time.sleep(0.1)
        before, at_first = descriptors(), threads()
        sight.start()
        while len(descriptors()) == len(before):
            pass
        assert sorted(descriptors()) == sorted([*before, "socket"]), descriptors()
        sight.listen()
        for _ in range(100):
            time.sleep(0.01)
            assert sorted(descriptors()) == sorted([*before, "socket", "socket"]), descriptors()
            # On an overloaded machine the runtime uses one or two more.
            assert threads() <= at_first + 3, (threads(), at_first)
        sight.stop()
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "XDG_RUNTIME_DIR": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_daemon_closes_all_descriptors_and_gets_their_numbers(target):
    listening = target("""
        hear()
        before = set(map(int, os.listdir("/proc/self/fd")))
        os.closerange(3, 1000)
        files = [os.open(sys.executable, os.O_RDONLY) for _ in range(3)]
        own = [os.memfd_create(str(number)) for number in range(20)]
        say(*own)
        hear()
        say(*{os.fstat(each).st_size for each in own})
        hear()
    """)
    with listening.client() as client:
        client.hello()
        listening.say()
        own = set(map(int, listening.hear().split()))
        with pytest.raises(ClientError):
            client.hello()

    def answers():
        with contextlib.suppress(ClientError), listening.client() as again:
            return again.hello()["pid"] == listening.pid

    assert eventually(answers)
    listening.say()
    assert listening.hear() == "0"
    links = listening.descriptors()
    assert all(links[number].startswith("/memfd:") for number in own)


def test_standard_streams_that_are_opened_again_get_their_numbers(target):
    listening = target("""
        hear()
        out = os.dup(1)
        os.closerange(0, out)
        os.closerange(out + 1, 1000)
        time.sleep(2.5)  # the service has looked at its descriptors twice
        numbers = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
        os.write(out, f"{numbers}\\n".encode())
        time.sleep(100)
    """)
    listening.say()
    assert listening.hear() == "[0, 1, 2]"
    assert eventually(lambda: Path(f"/proc/{listening.pid}/fd/3").exists())

    def answers():
        with contextlib.suppress(ClientError), listening.client() as again:
            return again.hello()["pid"] == listening.pid

    assert eventually(answers)


def test_requests_leave_no_memory_behind(target):
    listening = target()

    def resident():
        pages = Path(f"/proc/{listening.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    with listening.client() as client:
        for _ in range(500):
            client.image()
        before = resident()
        for _ in range(5000):
            client.hello()
            client.image()
        assert resident() - before < 1 << 20
