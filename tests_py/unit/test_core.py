"""When and how the lock core is loaded, and what happens when it cannot be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import golock

PACKAGE = Path(golock.__file__).parent
(VERSION,) = re.findall(
    r"#define GOLOCK_VERSION (\d+)", Path(golock.get_include(), "golock.h").read_text("utf-8")
)
SYMBOL = f"golock_core_{VERSION}"
needs_the_fast_path = pytest.mark.skipif(
    os.environ.get("GOLOCK_FASTPATH") == "0", reason="without it every operation needs the core"
)
COUNT_THREADS = "import os; threads = lambda: len(os.listdir('/proc/self/task'))\n"
MAPPED = "mapped = lambda: 'libgolock.so' in open('/proc/self/maps').read()\n"


@pytest.fixture
def installed_copy(tmp_path, python):
    """Copy the installed package; return the copy's core, to be damaged, and a runner for it."""
    copy = tmp_path / "golock"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def run(code, **options):
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        return python(path + code, **options)

    return copy / "libgolock.so", run


@needs_the_fast_path
def test_core_is_loaded_by_the_first_wait_that_needs_it(python):
    result = python(
        COUNT_THREADS
        + MAPPED
        + """
import golock
lock = golock.allocate_lock()
print(threads(), mapped())
for _ in range(1000):
    with lock:
        lock.acquire(False)
    lock.acquire(timeout=1)
    lock.release()
try:
    lock.release()
except RuntimeError:
    pass
print(threads(), mapped(), golock._golock.core()['loaded'])
lock.acquire()
lock.acquire(timeout=0.001)
print(threads() > 1, mapped(), golock._golock.core()['loaded'])
"""
    )
    assert result.stderr == ""
    assert result.stdout == "1 False\n1 False False\nTrue True True\n"


def spoil_missing(core):
    core.unlink()


def spoil_unreadable(core):
    core.unlink()
    core.mkdir()


def spoil_empty(core):
    core.write_bytes(b"")


def spoil_truncated(core):
    core.write_bytes(core.read_bytes()[:-1000])


def spoil_head_only(core):
    core.write_bytes(core.read_bytes()[:1000])


def spoil_text(core):
    core.write_text("this is no library\n")


def spoil_other_library(core):
    extension = next(PACKAGE.glob("_golock*.so"))
    core.write_bytes(extension.read_bytes())


def spoil_other_machine(core):
    content = bytearray(core.read_bytes())
    content[18:20] = b"\x08\x00"  # e_machine: EM_MIPS
    core.write_bytes(content)


def spoil_other_version(core):
    content = core.read_bytes()
    symbol = f"\0{SYMBOL}\0".encode()
    assert content.count(symbol) >= 1
    core.write_bytes(content.replace(symbol, b"\0golock_core_0\0"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_missing, "No such file or directory"),
        (spoil_unreadable, "it is not a file"),
        (spoil_empty, "it is empty"),
        (spoil_truncated, "it is truncated"),
        (spoil_head_only, "it is truncated"),
        (spoil_text, "it is not a shared library"),
        (spoil_other_library, "it is not golock's core, or has another version"),
        (spoil_other_machine, "it is not a shared library for this machine"),
        (spoil_other_version, "it is not golock's core, or has another version"),
    ],
)
def test_spoiled_core_is_an_import_error(installed_copy, spoil, reason):
    core, run = installed_copy
    spoil(core)
    result = run(
        """
try:
    import golock
except ImportError as error:
    print(error, error.path, sep='\\n')
"""
    )
    assert result.stderr == ""
    message, path = result.stdout.splitlines()
    assert message.startswith(f"{core}: {reason}")
    assert path == str(core)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_core_is_an_import_error(installed_copy):
    core, run = installed_copy
    core.chmod(0)
    assert "Permission denied" in run("import golock").stderr


@needs_the_fast_path
def test_core_that_cannot_be_loaded_later(installed_copy):
    core, run = installed_copy
    result = run(
        f"""
import golock, os, warnings
lock = golock.allocate_lock()
lock.acquire()
os.rename({str(core)!r}, {str(core) + ".away"!r})
warnings.simplefilter('ignore', RuntimeWarning)
print(lock.acquire(timeout=0.001), golock._golock.core()['loaded'])
try:
    golock.core_address()
except golock.CoreError as error:
    print(isinstance(error, RuntimeError), error)
lock.release()
print(lock.locked(), lock.acquire())
os.rename({str(core) + ".away"!r}, {str(core)!r})
print(lock.acquire(timeout=0.001))
"""
    )
    assert result.stderr == ""
    waited, error, free, later = result.stdout.splitlines()
    assert waited == "False False"
    assert error.startswith("True the lock core cannot be loaded: ")
    assert str(core) in error
    assert free == "False True"
    assert later == "False"


@needs_the_fast_path
@pytest.mark.parametrize("megabytes", [0.5, 8, 64, 256, 600, 1200])
def test_no_memory_for_the_core(python, megabytes):
    """Go's runtime would end the process if it could not reserve its address space."""
    result = python(
        """
import golock, resource, sys, warnings
warnings.simplefilter('ignore', RuntimeWarning)
lock = golock.allocate_lock()
lock.acquire()
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
limit = used + int(float(sys.argv[1]) * 2**20)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
print(lock.acquire(timeout=0.001), golock._golock.core()['loaded'])
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while not golock._golock.core()['loaded']:  # retried after 0.1 s
    lock.acquire(timeout=0.01)
print('loaded')
""",
        str(megabytes),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["False False", "loaded"]


def test_import_costs_no_module_that_is_not_needed(python):
    result = python(
        """
import sys
before = set(sys.modules)
import golock
print(*sorted(name for name in set(sys.modules) - before if not name.startswith('golock')))
"""
    )
    heavy = {"argparse", "ctypes", "json", "logging", "subprocess", "typing", "inspect", "re"}
    assert result.stderr == ""
    assert not heavy & set(result.stdout.split())


def test_library_exports_one_symbol():
    """Two Go runtimes, or two versions of the core, share a process without interfering."""
    command = ["nm", "-D", "--defined-only", str(PACKAGE / "libgolock.so")]
    symbols = subprocess.check_output(command, text=True).splitlines()
    assert [line.split()[-1] for line in symbols] == [SYMBOL]


def test_describes_itself():
    core = golock._golock.core()
    assert core["path"] == str(PACKAGE / "libgolock.so")
    assert core["symbol"] == SYMBOL
    assert core["fastpath"] == (os.environ.get("GOLOCK_FASTPATH") != "0")
