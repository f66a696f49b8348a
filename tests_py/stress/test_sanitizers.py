"""The extension built with AddressSanitizer and UndefinedBehaviorSanitizer.

The interpreter and the core are not instrumented. The sanitizers still see what the extension does
with their memory, because the whole process uses the sanitizer's malloc. With a GIL the
interpreter's objects come from it too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import golock
from test_memory_safety import run as run_memory_safety

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "pyext" / "native"
PACKAGE = Path(golock.__file__).parent
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

CONTENDED = """
import gc, sys, threading, time, weakref
import golock
rounds = int(sys.argv[1])
golock.set_handoff(float(sys.argv[2]))
locks = [golock.allocate_lock() for _ in range(3)]
acquires = []
def work(number):
    taken = 0
    for i in range(rounds):
        lock = locks[(number + i) % 3]
        if (number + i) % 5 == 0:
            got = lock.acquire(timeout=0.0001)
        elif (number + i) % 7 == 0:
            got = lock.acquire(False)
        else:
            got = lock.acquire()
        if got:
            taken += 1
            assert weakref.ref(lock)() is lock and 'locked' in repr(lock)
            if i % 20 == 0:
                time.sleep(0)
            lock.release()
        mine = golock.allocate_lock()
        reference = weakref.ref(mine)
        for wrong in ((1, 2, 3), ('x', 'y'), (True, float('nan')), (True, 1e300)):
            try:
                mine.acquire(*wrong)
            except (TypeError, ValueError, OverflowError):
                pass
        del mine
    acquires.append(taken)
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(acquires))
"""


def runtime_libraries():
    names = ["libasan.so", "libubsan.so"]
    paths = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in names
    ]
    return [path for path in paths if Path(path).is_absolute()]


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """Build the extension with the sanitizers; return the environment to run it in."""
    if shutil.which("gcc") is None or len(runtime_libraries()) < 2:
        pytest.skip("there is no gcc with its sanitizers")
    root = tmp_path_factory.mktemp("sanitized")
    package = root / "golock"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "_golock*.so"))
    command = ["gcc", "-shared", "-fPIC", "-g", "-O1", "-std=c11", "-D_GNU_SOURCE"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    command += ["-fno-omit-frame-pointer", f"-I{sysconfig.get_path('include')}"]
    command += [f"-I{TESTS.parent / 'golock' / 'capi'}", f"-I{SOURCES}"]
    command += [str(path) for path in sorted(SOURCES.rglob("*.c"))]
    command += ["-o", str(package / f"_golock{sysconfig.get_config_var('EXT_SUFFIX')}")]
    subprocess.run(command, check=True)
    return {
        **os.environ,
        "PYTHONPATH": str(root),
        "LD_PRELOAD": ":".join(runtime_libraries()),
        "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "PYTHONDONTWRITEBYTECODE": "1",
        **({} if FREE_THREADED else {"PYTHONMALLOC": "malloc"}),
    }


def assert_clean(result):
    said = result.stdout + result.stderr
    assert "Sanitizer" not in said, said
    assert "runtime error" not in said, said
    assert result.returncode == 0, said


def test_the_sanitizers_watch(python, sanitized):
    result = python(
        """
import ctypes, sys
import golock
mapped = open('/proc/self/maps').read()
print('libasan' in mapped, 'libubsan' in mapped, golock.__file__.startswith(sys.argv[1]))
ctypes.CDLL(golock._golock.__file__).__asan_poison_memory_region
lock = golock.allocate_lock()
asan = ctypes.CDLL(None)
asan.__asan_poison_memory_region(ctypes.c_void_p(id(lock)), ctypes.c_size_t(lock.__sizeof__()))
lock.acquire()
""",
        sanitized["PYTHONPATH"],
        env=sanitized,
    )
    assert result.stdout == "True True True\n"
    assert "AddressSanitizer: use-after-poison" in result.stderr
    assert "pyext/native/" in result.stderr


@pytest.mark.parametrize("threshold", ["0", "0.001"])
def test_contention(python, sanitized, stress, threshold):
    rounds = stress.size(400, 8000)
    result = python(CONTENDED, str(rounds), threshold, env=sanitized)
    assert_clean(result)
    stress.count("acquires under the sanitizers", int(result.stdout))


def test_own_tests(sanitized, stress):
    names = [
        f"unit/test_{name}.py"
        for name in ("lock", "rlock", "condition", "semaphore", "event", "barrier")
    ]
    names += ["regressions/test_condition_initialized_again.py"]
    if stress.soak:
        names += ["unit/test_fork.py", "unit/test_signals.py", "unit/test_conformance.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [f"--rootdir={TESTS.parent}", "--import-mode=importlib"]
    command += [str(TESTS / name) for name in names]
    result = subprocess.run(
        command,
        env=sanitized,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=TESTS.parent,
    )
    assert_clean(result)


def test_whatever_is_done(sanitized, stress):
    steps = run_memory_safety(stress, sanitized, stress.size(25, 500))
    stress.count("hostile steps under the sanitizers", steps)
