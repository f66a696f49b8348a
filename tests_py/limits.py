"""Every primitive is waited at under limits that leave no room for a core.

    python limits.py                       print the matrix as a Markdown table
    python limits.py LIMIT MOMENT [FIRST]  what the table and test_limits.py run, under one limit

MOMENT says when the limit is set: "first" before any thread has waited, "later" when the core is
loaded. The program waits at all primitives, from the one named FIRST on, and again in a forked
child. It prints a line when a cell of the matrix begins and when it ends; if it hangs, it is in the
last cell that began.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import faulthandler
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import golock
from family import KINDS

# RLock comes first because it starts a thread, and a core may leave no room for one.
NAMES = ("RLock", "Lock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")
MOMENTS = ("first", "later")
MB = 2**20
ROUNDS = 3
HANGS_AFTER = 60

# The limits -----------------------------------------------------------------------------------

CALLS = {
    "x86_64": {"mmap": 9, "mprotect": 10, "seccomp": 317, "memfd_create": 319},
    "aarch64": {"mmap": 222, "mprotect": 226, "seccomp": 277, "memfd_create": 279},
}[platform.machine()]
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 8, 32, 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38
libc = ctypes.CDLL(None, use_errno=True)


class ImpossibleError(Exception):
    """This machine or this user cannot set the limit."""


def system(result):
    if result != 0:
        raise ImpossibleError(os.strerror(ctypes.get_errno()))


def set_limit(which, value):
    resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


def used(what):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) * 1024


class Limit:
    """The docstring of each subclass describes it in the table."""

    moments = MOMENTS
    spare = 0
    without = ("first", "child of first", "child of later")  # where no core can be loaded

    def __init__(self, spare=None):
        self.spare = self.spare if spare is None else int(spare)

    def prepare(self):
        """Run before threads are started."""

    def apply(self):
        """Set the limit."""

    def apply_again(self):
        """Set the limit again before the fork, if it depends on what the process uses."""


class Threads(Limit):
    """RLIMIT_NPROC, three threads more than run"""

    spare = 3  # one for the child, and two for its threads

    def prepare(self):
        if os.geteuid() != 0:
            raise ImpossibleError("only root can become a user who has no threads")

    def apply(self):
        os.setuid(100_000 + os.getpid())
        self.apply_again()

    def apply_again(self):
        running = sum(1 for _ in Path("/proc/self/task").iterdir())
        set_limit(resource.RLIMIT_NPROC, running + self.spare)


class Memory(Limit):
    """RLIMIT_DATA, 8 MB more than in use"""

    spare, which, field = 8, resource.RLIMIT_DATA, "VmData"

    def apply(self):
        set_limit(self.which, used(self.field) + self.spare * MB)

    apply_again = apply


class AddressSpace(Memory):
    """RLIMIT_AS, 8 MB more than in use"""

    which, field = resource.RLIMIT_AS, "VmSize"


class Files(Limit):
    """RLIMIT_NOFILE, no file can be opened"""

    def apply(self):
        set_limit(resource.RLIMIT_NOFILE, 3)


class FileSizes(Limit):
    """RLIMIT_FSIZE, no file can be written"""

    without = ("child of first", "child of later")

    def apply(self):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        set_limit(resource.RLIMIT_FSIZE, 0)


def mount_nothing(folder):
    system(libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, None))


class OwnMounts(Limit):
    def prepare(self):
        system(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if os.geteuid() != 0 else 0)))
        system(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))


class Chroot(OwnMounts):
    """into an empty folder"""

    def apply(self):
        folder = tempfile.gettempdir()
        mount_nothing(folder)
        os.chroot(folder)


class NoProc(OwnMounts):
    """an empty folder in its place"""

    without = ()

    def apply(self):
        mount_nothing("/proc")
        assert not Path("/proc/self").exists()


class NoExec(OwnMounts):
    """the library's folder, and those for temporary files"""

    without = ("first",)

    def apply(self):
        folders = {str(Path(golock.__file__).parent), tempfile.gettempdir()}
        folders |= {folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if Path(folder).is_dir()}
        for path in map(os.fsencode, folders):
            system(libc.mount(path, path, None, MS_BIND, None))
            system(libc.mount(None, path, None, MS_REMOUNT | MS_BIND | MS_NOEXEC, None))


LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, THIRD_ARGUMENT = 0, 32
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM


class Seccomp(Limit):
    """EPERM for executable mappings"""

    program = (
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 1, 0, CALLS["mmap"]),
        (EQUAL, 0, 3, CALLS["mprotect"]),
        (LOAD, 0, 0, THIRD_ARGUMENT),
        (ANY_BIT, 0, 1, 4),  # PROT_EXEC
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )

    def apply(self):
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in self.program)
        memory = ctypes.create_string_buffer(code)
        whole = struct.pack("HxxxxxxP", len(self.program), ctypes.addressof(memory))
        system(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        # SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_TSYNC: in every thread.
        system(libc.syscall(CALLS["seccomp"], 1, 1, whole))


class NoMemfd(Seccomp):
    """EPERM for memfd_create"""

    without = ()
    program = (
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 1, CALLS["memfd_create"]),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )

    def apply(self):
        super().apply()
        with contextlib.suppress(PermissionError):
            os.memfd_create("refused")
            raise AssertionError


class PrivateCopies(Limit):
    """generations of forked children, each with a core"""

    moments = ("later",)
    most = 64

    def prepare(self):
        contend()
        while golock._golock.core()["private_copies"] < self.most:
            go_on_in_child()
            contend()


LIMITS = {
    "threads": Threads,
    "memory": Memory,
    "address space": AddressSpace,
    "files": Files,
    "file sizes": FileSizes,
    "chroot": Chroot,
    "no /proc": NoProc,
    "noexec": NoExec,
    "memfd refused": NoMemfd,
    "seccomp": Seccomp,
    "private copies": PrivateCopies,
}

# Under a limit --------------------------------------------------------------------------------


def say(*words):
    os.write(1, ("\t".join(map(str, words)) + "\n").encode())


def contend():
    lock = golock.allocate_lock()
    lock.acquire()
    assert not lock.acquire(timeout=0.001)


class Worker:
    """A thread started before the limit is set, which has not called the core yet."""

    def __init__(self):
        self.work, self.results = SimpleQueue(), SimpleQueue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while (work := self.work.get()) is not None:
            self.results.put(work())

    def end(self):
        self.work.put(None)
        self.thread.join()


def wait_at(primitive, worker):
    """Wait until time runs out, then for another thread, and have that thread wait."""

    def unblock():
        time.sleep(0.001)  # by then the main thread most likely sleeps
        primitive.unblock()

    assert not primitive.wait(0.001)
    for _ in range(ROUNDS):
        worker.work.put(primitive.wait)
        time.sleep(0.001)
        primitive.unblock()
        assert worker.results.get() is True
        worker.work.put(unblock)
        assert primitive.wait()
        worker.results.get()


def core():
    """Return whether there is a core or none was needed yet, and why there is none."""
    core = golock._golock.core()
    if core["loaded"]:
        return "core", ""
    missing = core["core_missing"]
    return ("without", missing) if missing else ("not needed", "")


def wait_at_all(moment, primitives, order, worker):
    for name in order:
        say("begins", moment, name)
        wait_at(primitives[name], worker)
        say("ended", moment, name, *core())


def go_on_in_child():
    """Fork; the parent exits with the status of the child."""
    pid = os.fork()
    if pid != 0:
        signal.alarm(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    signal.alarm(HANGS_AFTER)


def report_warnings(moment):
    warnings.showwarning = lambda message, *_: say("warned", moment, message)


def run(name, moment, first=NAMES[0]):
    name, _, spare = name.partition("=")
    limit = LIMITS[name](spare or None)
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(HANGS_AFTER)
    warnings.simplefilter("always")
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    report_warnings(moment)
    threading.stack_size(256 * 1024)
    ctypes.CDLL("libgcc_s.so.1")  # or daemon threads abort the process, even without golock
    limit.prepare()
    worker = Worker()
    if moment == "later":
        contend()
        assert golock._golock.core()["loaded"], golock._golock.core()
    limit.apply()
    primitives = {name: KINDS[name]() for name in NAMES}
    start = NAMES.index(first)
    order = NAMES[start:] + NAMES[:start]
    wait_at_all(moment, primitives, order, worker)
    worker.end()
    limit.apply_again()
    go_on_in_child()
    moment = f"child of {moment}"
    report_warnings(moment)
    worker = Worker()
    for primitive in primitives.values():
        primitive.restore()
        primitive.hold()
    wait_at_all(moment, primitives, order, worker)
    worker.end()


# From outside ---------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a program under a limit printed, and how it ended."""

    status: int | None = None  # None: it hung
    stderr: str = ""
    impossible: str = ""  # why the limit cannot be set
    cells: dict[tuple[str, str], str] = field(default_factory=dict)  # those that ended
    missing: dict[str, str] = field(default_factory=dict)  # why there was no core
    warned: list[tuple[str, str]] = field(default_factory=list)
    begun: str = ""  # the last cell that began

    def read(self, stdout):
        for line in stdout.splitlines():
            kind, *words = line.split("\t")
            if kind == "impossible":
                self.impossible = words[0]
            elif kind == "ended":
                self.cells[words[0], words[1]] = words[2]
                if words[2] == "without":
                    self.missing[words[0]] = words[3]
            elif kind == "warned":
                self.warned.append((words[0], words[1]))
            elif kind == "begins":
                self.begun = ", ".join(words)

    def summary(self, moment):
        """Return whether the waits of a moment used the core, did without, or both."""
        cells = [cell for (when, _), cell in self.cells.items() if when == moment]
        return ", then ".join(dict.fromkeys(cell for cell in cells if cell != "not needed"))


def outcome_of(*arguments):
    command = [sys.executable, __file__, *arguments]
    outcome = Outcome()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, outcome.stderr = process.communicate(timeout=2 * HANGS_AFTER)
            outcome.status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, outcome.stderr = process.communicate()
    outcome.read(stdout)
    return outcome


def row(limit):
    cells: dict[str, str] = dict.fromkeys(MOMENTS, "")
    in_children, reasons = [], []
    for moment in LIMITS[limit].moments:
        outcome = outcome_of(limit, moment)
        if outcome.status != 0:
            sys.exit(f"{limit}, {moment}: {outcome}")
        cells[moment] = outcome.summary(moment)
        in_children.append(outcome.summary(f"child of {moment}"))
        reasons += [outcome.impossible, *outcome.missing.values()]
    why = next(filter(None, reasons), "").replace(f"{Path(golock.__file__).parent}/", "")
    return [
        limit,
        LIMITS[limit].__doc__,
        *cells.values(),
        " or ".join(dict.fromkeys(in_children)),
        why,
    ]


def table():
    titles = "limit", "what it is", "first wait", "later wait", "forked child", "why without"
    for cells in titles, ["---"] * len(titles), *map(row, LIMITS):
        print(f"| {' | '.join(cells)} |")
    golock.core_address()
    go = golock._golock.core()["go"]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    print(f"\n{today}, CPython {platform.python_version()}, {go}, Linux {platform.release()}")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        table()
    else:
        try:
            run(*sys.argv[1:])
        except ImpossibleError as reason:
            say("impossible", reason)
