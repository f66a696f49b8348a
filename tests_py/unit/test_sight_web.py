"""What ``python -m golock web`` serves, to whom, and what it says when it cannot."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import closing

import pytest

import sight_scenes
from golock.sight import LEVELS, _client, _image, _web
from sight_service import Service

FORBIDDEN = (403, "Forbidden\n")
GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"


class Site:
    """A server of the page, and its client."""

    def __init__(self, process):
        self.process = process
        self.server = _web.Server(_web.Target(process, process.reconnect))
        self.port, self.token = self.server.server_port, self.server.token

    def ask(self, path, method="GET", body=None, **headers):
        """Return the status and the text of an answer; the last answer is kept."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            self.answer = connection.getresponse()
            return self.answer.status, self.answer.read().decode()

    def get(self, name, **headers):
        return self.ask(f"/{self.token}/{name}", **headers)

    def picture(self):
        status, text = self.get("picture")
        assert status == 200
        return json.loads(text)


@pytest.fixture
def site():
    made = Site(sight_scenes.Process(sight_scenes.contention()))
    thread = threading.Thread(target=made.server.serve_forever, args=[0.01])
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_each_file_has_its_type_and_forbids_all_other_sources(site):
    status, text = site.get("")
    assert (status, text[:15]) == (200, "<!doctype html>")
    for name in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert site.get(name)[0] == 200, name
    assert site.get("main.js")[0] == 200
    assert site.answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert site.answer.headers["X-Content-Type-Options"] == "nosniff"
    assert site.answer.headers["Referrer-Policy"] == "no-referrer"
    assert site.answer.headers["Cache-Control"] == "no-store"
    policy = site.answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in site.answer.headers
    assert site.get("nothing.js") == (404, "Not Found\n")
    assert site.get("../_web.py") == (404, "Not Found\n")


def test_without_the_token_everything_is_forbidden(site):
    token = site.token
    paths = ["/", "/picture", "/favicon.ico", f"/{token}", f"/{token[:-1]}/", f"/{token}x/picture"]
    for path in [*paths, "/%20/picture", "//picture", "/%C3%A9/picture", "*"]:
        assert site.ask(path) == FORBIDDEN, path
    assert site.ask("/level", "POST", "off") == FORBIDDEN
    assert site.ask(f"/{token[:-1]}/level", "POST", "off") == FORBIDDEN
    assert site.process.levels == []
    assert site.get("picture")[0] == 200


def test_names_of_other_hosts_are_forbidden(site):
    """A page could otherwise have its name lead to 127.0.0.1, and read what is served here."""
    for host in ["example.com", f"example.com:{site.port}", "127.0.0.1", "127.0.0.1:1", ""]:
        assert site.get("picture", Host=host) == FORBIDDEN, host
    assert site.get("picture", Host=f"localhost:{site.port}")[0] == 200
    for hosts in [[], [f"127.0.0.1:{site.port}", "example.com"]]:
        with closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)) as connection:
            connection.putrequest("GET", f"/{site.token}/picture", skip_host=True)
            for host in hosts:
                connection.putheader("Host", host)
            connection.endheaders()
            assert connection.getresponse().status == 403


def test_only_the_level_can_be_changed(site):
    path = f"/{site.token}/level"
    assert site.ask(path, "POST", "waits") == (200, '{"problem": ""}')
    assert site.process.levels == [LEVELS.index("waits")]
    assert site.picture()["snapshot"]["level"] == "waits"
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"]:
        assert site.ask(path, method)[0] == 501, method
    assert site.ask(f"/{site.token}/picture", "POST", "off")[0] == 405
    assert site.get("level")[0] == 404
    for length in ["-1", "100", "1e9", "x", ""]:
        assert site.ask(path, "POST", **{"Content-Length": length})[0] == 400, length
    assert site.ask(path, "POST", "off", Origin="http://example.com") == FORBIDDEN
    assert site.ask(path, "POST", "on") == (200, json.dumps({"problem": "there is no level 'on'"}))
    assert len(site.process.levels) == 1
    origin = f"http://127.0.0.1:{site.port}"
    assert site.ask(path, "POST", "off", Origin=origin) == (200, '{"problem": ""}')


def test_the_address_for_a_browser_leads_to_the_page_once(site):
    address = site.server.address_for_once()
    assert site.token not in address
    path = address.partition(f":{site.port}")[2]
    assert site.ask(f"{path}picture", "POST") == FORBIDDEN
    assert site.ask(path)[0] == 303
    assert site.answer.headers["Location"] == f"/{site.token}/"
    assert site.ask(path) == FORBIDDEN


def test_garbage_and_connections_that_break(site, capfd):
    for data in [
        GARBAGE,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n",
        b"",
        b"A" * 70000,
    ]:
        with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(f"GET /{site.token}/picture HTTP/1.1\r\n".encode())
    assert site.get("picture")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_the_picture(site):
    stack = sight_scenes.at(40, "add")
    under_way = {"flags": _image.SAMPLE_UNDER_WAY, "delay": 3 * 10**9}
    site.process.maker.sample(2, 0, name="orders", stack=stack, **under_way)
    picture = site.picture()
    assert (picture["process"], picture["command"]) == (os.getpid(), "python shop/app.py")
    assert (picture["problem"], picture["has_ended"], picture["levels"]) == ("", False, [*LEVELS])
    snapshot = picture["snapshot"]
    assert [lock["name"] for lock in snapshot["locks"]] == ["orders", "prices"]
    assert [wait["seconds"] for wait in snapshot["waits"]] == [3.0, 2.9, 2.8, 2.7, 2.6]
    # Three seconds of waits that have ended, and those under way.
    assert picture["sums"] == [
        {"name": "orders", "kind": "Lock", "waiters": 5, "seconds": pytest.approx(17)},
        {"name": "prices", "kind": "RLock", "waiters": 0, "seconds": 2},
        {"name": "ready", "kind": "Event", "waiters": 0, "seconds": 0.001},
    ]
    stacks = [
        [picture["frames"][frame]["function"] for frame in wait["stack"]]
        for wait in picture["waits"]
    ]
    assert stacks == [["main", "add"], ["main", "remove"], ["main", "wait"]]
    # With those under way.
    assert [wait["seconds"] for wait in picture["waits"]] == [6, 2, 0.001]


def test_a_lock_of_many_is_shown_if_somebody_waits_or_holds(site):
    maker = site.process.maker
    for number in range(3000):
        flags = sight_scenes.HELD if number % 3 == 0 else 0
        maker.object(0x100000 + number, flags=flags)
    maker.wait(0x100001, 3, ago=1)
    picture = site.picture()
    shown = {lock["id"] for lock in picture["snapshot"]["locks"]}
    assert {0x1000, 0x2000, 0x100001} < shown
    assert len(shown) == 500
    assert picture["left"] == 3002 - 500
    assert {number % 3 for number in shown - {0x1000, 0x2000, 0x100001}} == {0x100000 % 3}


def test_waits_of_a_deadlock_are_shown_among_many(site):
    site.process.maker = maker = sight_scenes.deadlock(2)
    maker.entries[sight_scenes.WAITS][:0] = [
        (0x7000, 1000 + number, 1, 2**63 - 1, 0, 0, 0) for number in range(1500)
    ]
    maker.numbers = [2, 3, 1500, 1501]
    snapshot = site.picture()["snapshot"]
    (cycle,) = snapshot["deadlocks"]
    assert {wait["thread"] for wait in cycle["waits"]} < {
        wait["thread"] for wait in snapshot["waits"]
    }
    assert len(snapshot["waits"]) == 1002


def test_a_process_that_does_not_answer_for_a_while(site):
    before = site.picture()
    site.process.problem = "process 1 does not answer within 5 s"
    later = site.picture()
    assert (later["problem"], later["has_ended"]) == (site.process.problem, False)
    assert later["snapshot"] == before["snapshot"]
    _, text = site.ask(f"/{site.token}/level", "POST", "waits")
    assert json.loads(text) == {"problem": site.process.problem}
    site.process.problem = ""
    assert site.picture()["problem"] == ""
    assert not site.process.is_closed


def test_a_process_that_has_ended(site, monkeypatch, capfd):
    before = site.picture()
    monkeypatch.setattr(_web, "is_running", lambda process: False)
    site.process.problem = "broken"
    for _ in range(2):
        later = site.picture()
        assert later["has_ended"]
        assert later["problem"] == f"process {os.getpid()} has ended"
        assert later["snapshot"] == before["snapshot"]
    assert capfd.readouterr().err == (
        f"process {os.getpid()} has ended; the page keeps its last picture\n"
    )


def test_a_damaged_image(site, monkeypatch):
    site.picture()
    maker = site.process.maker
    maker.wait(0x1000, 9, stack=())
    maker.entries[sight_scenes.WAITS][-1] = (0x1000, 9, 1, 2, 0, 999, 0)
    assert "answers with garbage" in site.picture()["problem"]


def web(*arguments, **options):
    command = [sys.executable, "-m", "golock", "web", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture
def runtime(monkeypatch):
    """Have this process answer, and the commands look for it, in a folder that nobody else uses."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.mark.usefixtures("runtime")
def test_the_command():
    """It serves until Ctrl-C, and then ends quietly."""
    image = sight_scenes.contention().image()
    with Service(image) as service, web(os.getpid(), "--no-browser") as command:
        line = command.stdout.readline()
        said = re.fullmatch(
            rf"The locks of process {os.getpid()}: (http://127.0.0.1:\d+/.+/)\n", line
        )
        assert said, line
        with urllib.request.urlopen(f"{said[1]}picture", timeout=30) as answer:
            picture = json.load(answer)
        assert [lock["name"] for lock in picture["snapshot"]["locks"]] == ["orders", "prices"]
        urllib.request.urlopen(f"{said[1]}level", b"waits", timeout=30).close()
        assert service.requests[-1] == (_client.LEVEL, LEVELS.index("waits"))
        command.send_signal(signal.SIGINT)
        assert command.communicate(timeout=60) == ("", "")
        assert command.returncode == 0


@pytest.mark.usefixtures("runtime")
def test_the_browser_does_not_get_the_token_by_its_arguments(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/address.new\n'
        f"mv {tmp_path}/address.new {tmp_path}/address\n"
    )
    browser.chmod(0o755)
    environment = {**os.environ, "BROWSER": str(browser), "DISPLAY": ":0"}
    with Service(), web(os.getpid(), env=environment) as command:
        token = command.stdout.readline().rstrip("/\n").rpartition("/")[2]
        while not (tmp_path / "address").exists():
            assert command.poll() is None
        address = (tmp_path / "address").read_text().strip()
        assert token not in address
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert token in answer.url
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address, timeout=30)
        command.send_signal(signal.SIGINT)
        assert command.communicate(timeout=60) == ("", "")


@pytest.mark.usefixtures("runtime")
def test_a_port_that_is_in_use():
    with Service(), socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        output, error = web(os.getpid(), "--port", port).communicate(timeout=60)
    assert output == ""
    assert error == f"python -m golock web: port {port} cannot be used: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([2**22 + 1], 1, "python -m golock web: there is no process 4194305\n"),
        ([1 << 40], 2, "invalid PID value"),
        (["one"], 2, "invalid PID value: 'one'"),
        (["1", "--port", "65536"], 2, "there is no port 65536"),
        ([], 2, "the following arguments are required: PID"),
    ],
)
def test_what_the_command_refuses(arguments, status, message):
    command = web(*arguments)
    output, error = command.communicate(timeout=60)
    assert (output, command.returncode) == ("", status)
    assert message in error
    assert "Traceback" not in error


def test_a_process_without_golock():
    with subprocess.Popen(["sleep", "60"]) as other:
        output, error = web(other.pid).communicate(timeout=60)
        other.kill()
    assert output == ""
    assert error.startswith(f"python -m golock web: process {other.pid} has not loaded golock")
