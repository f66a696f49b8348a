"""The client of golock.sight: what it asks, and what it says when it gets no answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from golock.sight import _client, _image, _place
from golock.sight._client import Client, ClientError, NotListeningError
from sight_images import Maker
from sight_service import REPLY, Service

SELF = os.getpid()


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    """Make a private folder for sockets. Paths of sockets are short."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def child():
    """Start a process that does nothing, and end it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def refused(process=SELF, timeout=30.0):
    with pytest.raises(ClientError) as raised, Client(process, timeout) as client:
        client.image()
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_hello_image_and_level():
    maker = Maker(level=1)
    with Service(maker.image()) as service, Client(SELF) as client:
        assert client.hello() == {"pid": SELF, "level": "off"}
        assert client.image().header.process == 4711
        assert client.image(1 << _image.WAITS).header.level == 1
        assert client.set_level(2) is None
        assert service.requests == [(1, 0), (2, 0), (2, 256), (3, 2)]


def test_a_command_line_that_is_not_utf_8():
    """Arguments are any bytes, and a long command line is cut off anywhere."""

    class Other(Service):
        def answer(self, request, argument):
            return 0, b'{"command": "program \xff \xc3"}'

    with Other(), Client(SELF) as client:
        assert client.hello() == {"command": "program \ufffd \ufffd"}


def test_a_large_image():
    maker = Maker()
    for address in range(0x1000, 0x21000):
        maker.entries[_image.OBJECTS].append((address, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0))
    with Service(maker.image()), Client(SELF) as client:
        assert client.image().object(0x20FFF).address == 0x20FFF


def test_no_such_process():
    process = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert refused(process) == f"there is no process {process}"


def test_a_process_that_has_ended(child):
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert refused(child.pid) == f"there is no process {child.pid}"


def test_a_process_of_another_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert refused(1).startswith("process 1 belongs to another user, the one with number ")


def test_a_process_without_golock(child):
    assert "has not loaded golock; start it by python -m golock run --sight" in refused(child.pid)


def test_a_process_that_does_not_listen():
    with pytest.raises(NotListeningError, match="does not listen: call "):
        Client(SELF)


def test_a_socket_that_nobody_has():
    path = _place.path(_place.prepare(), SELF)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert "does not listen" in refused()


def test_a_file_instead_of_a_socket():
    Path(_place.path(_place.prepare(), SELF)).write_text("")
    assert "does not listen" in refused()


def test_a_socket_of_another_process(child):
    """Numbers of processes are used again, and sockets stay."""
    with Service():
        Path(_place.path(_place.prepare(), SELF)).rename(_place.path(_place.prepare(), child.pid))
        assert "has not loaded golock" in refused(child.pid)
        Path(_place.path(_place.prepare(), SELF)).touch()


def test_a_folder_that_others_can_enter(runtime):
    with Service():
        (runtime / "golock").chmod(0o755)
        assert "others than you have access to it" in refused()
        (runtime / "golock").chmod(0o700)


def test_the_folder_of_the_other_process_is_found(monkeypatch):
    """Programs may run in different sessions."""
    environment = dict(os.environ)
    with Service(), tempfile.TemporaryDirectory() as other:
        monkeypatch.setattr(_client, "_environment", lambda _: environment)
        monkeypatch.setattr(os, "environ", {**os.environ, "XDG_RUNTIME_DIR": other})
        with Client(SELF) as client:
            assert client.hello()["pid"] == SELF


class Silent(Service):
    def serve(self, *_):
        threading.Event().wait()


def test_a_process_that_does_not_answer():
    with Silent():
        assert refused(timeout=0.01) == f"process {SELF} does not answer within 0.01 s"


class Ends(Service):
    """Ends in the middle of an answer."""

    def serve(self, connection, *_):
        connection.sendall(REPLY.pack(_client.MAGIC, 0, 1000) + b"x" * 500)
        connection.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_ends_in_an_answer():
    with Ends():
        assert "has closed the connection" in refused()


def test_a_process_that_ends_in_an_answer(monkeypatch):
    with Ends():
        client = Client(SELF)
        monkeypatch.setattr(_client, "is_running", lambda _: False)
        with pytest.raises(ClientError, match=f"process {SELF} has ended"):
            client.image()
        assert client.is_closed


class Garbage(Service):
    reply = b""

    def serve(self, connection, *_):
        connection.sendall(self.reply)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request",
        REPLY.pack(_client.MAGIC + 1, 0, 0),
        REPLY.pack(_client.MAGIC, 0, 1 << 62),
    ],
)
def test_another_protocol(reply):
    with Garbage() as service:
        service.reply = reply
        assert "has another version of golock" in refused()


def test_an_answer_that_is_no_image():
    with Service(b"nothing"):
        assert "answers with garbage: the image ends in its header" in refused()


def test_a_description_that_is_none():
    with Garbage() as service, Client(SELF) as client:
        service.reply = REPLY.pack(_client.MAGIC, 0, 2) + b"[]"
        with pytest.raises(ClientError, match="another version of golock"):
            client.hello()


def test_a_request_that_is_refused():
    refuses = pytest.raises(ClientError, match="refuses: Invalid argument")
    with Service(), Client(SELF) as client, refuses:
        client.set_level(9)


def test_paths_that_are_too_long():
    environment = {"XDG_RUNTIME_DIR": "/" + "x" * 100, "TMPDIR": "/var/tmp"}
    assert _place.folders(environment, 7) == ["/var/tmp/golock-7", "/tmp/golock-7"]


@pytest.mark.parametrize("value", ["", "relative"])
def test_a_runtime_folder_that_is_none(value):
    environment = {"XDG_RUNTIME_DIR": value, "TMPDIR": value}
    assert _place.folders(environment, 7) == ["/tmp/golock-7"]


def test_a_folder_is_made_private(runtime):
    assert _place.prepare() == str(runtime / "golock")
    assert (runtime / "golock").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_a_link_is_not_used(runtime):
    (runtime / "elsewhere").mkdir(mode=0o700)
    (runtime / "golock").symlink_to(runtime / "elsewhere")
    assert _place.prepare() == f"{runtime}/golock-{os.geteuid()}"


def test_no_place_at_all(monkeypatch):
    monkeypatch.setattr(_place, "folders", lambda *_: ["/proc/golock"])
    with pytest.raises(OSError, match="/proc/golock"):
        _place.prepare()


@pytest.mark.skipif(hasattr(sys, "remote_exec"), reason="it would be made to listen")
def test_connect_without_remote_execution():
    with pytest.raises(NotListeningError):
        _client.connect(SELF)


class TestAttach:
    """The interpreter's remote execution is a call of a function here."""

    @pytest.fixture(autouse=True)
    def _listening(self, monkeypatch):
        from golock import sight

        self.service = Service()
        monkeypatch.setattr(sight, "listen", self.service.__enter__)
        yield
        if self.service._connections:
            self.service.__exit__()

    def _with(self, monkeypatch, function):
        monkeypatch.setattr(sys, "remote_exec", function, raising=False)

    def test_a_process_that_does_not_listen_is_made_to(self, monkeypatch):
        def execute(process, script):
            assert process == SELF
            exec(Path(script).read_text(), {})

        self._with(monkeypatch, execute)
        with _client.connect(SELF) as client:
            assert client.hello()["pid"] == SELF

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("not the same\nversion"),
            PermissionError(1, "Operation not permitted"),
        ],
    )
    def test_where_it_is_not_allowed(self, monkeypatch, error):
        def execute(*_):
            raise error

        self._with(monkeypatch, execute)
        with pytest.raises(ClientError) as raised:
            _client.connect(SELF)
        text = str(raised.value)
        assert text.startswith(f"process {SELF} does not listen, and cannot be made to: ")
        assert "\n" not in text

    def test_an_error_in_the_process(self, monkeypatch):
        from golock import sight

        def listen():
            raise OSError("no room\nat all")

        monkeypatch.setattr(sight, "listen", listen)
        self._with(monkeypatch, lambda _, script: exec(Path(script).read_text(), {}))
        with pytest.raises(ClientError, match="cannot be made to: OSError: no room at all"):
            _client.connect(SELF)

    def test_a_main_thread_that_does_not_run(self, monkeypatch, runtime):
        scripts = []
        monkeypatch.setattr(_client, "TIMEOUT", 0.01)
        monkeypatch.setattr(tempfile, "tempdir", str(runtime))
        self._with(monkeypatch, lambda _, script: scripts.append(Path(script)))
        with pytest.raises(ClientError, match=r"has run no Python code for 0\.01 s"):
            _client.connect(SELF)
        (script,) = scripts
        exec(script.read_text(), {})  # when the thread runs, later
        assert not script.parent.exists()

    def test_no_files_are_left(self, monkeypatch, runtime):
        monkeypatch.setattr(tempfile, "tempdir", str(runtime))
        self._with(monkeypatch, lambda _, script: exec(Path(script).read_text(), {}))
        _client.connect(SELF).close()
        assert [each.name for each in runtime.iterdir()] == ["golock"]


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "4294967296", "1.5"])
def test_numbers_that_are_no_process(text):
    with pytest.raises(ValueError, match=r"^$|invalid literal"):
        _client.process_number(text)


def test_is_running(child):
    assert _client.is_running(child.pid)
    child.send_signal(signal.SIGSTOP)
    assert _client.is_running(child.pid)
    child.kill()
    child.wait()
    assert not _client.is_running(child.pid)
