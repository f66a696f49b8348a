"""Waits work if the library or a private copy cannot be opened, and one warning says so.

Before, acquire raised CoreError, or SIGXFSZ ended the process, and after some 4,100 attempts the
name of a copy was too long.
"""

from __future__ import annotations

import os

import pytest

PRELUDE = """
import os, resource, signal, sys, warnings
import golock

def wait(times=1):
    lock = golock.Lock()
    lock.acquire()
    for _ in range(times):
        assert not lock.acquire(timeout=0.0001)
    lock.release()
    assert lock.acquire()

def descriptors():
    return sum(os.path.exists(f"/proc/self/fd/{n}") for n in range(100))
"""
LIMITS = {
    "files": "wait_in_child = False; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "chroot": "wait_in_child = False; os.chroot(sys.argv[1])",
    "no size": "wait_in_child = True; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "1 MB": "wait_in_child = True; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_waits_without_files(python, tmp_path, limit: str) -> None:
    if limit == "chroot" and os.geteuid() != 0:
        pytest.skip("needs root")
    program = f"""{PRELUDE}
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
{LIMITS[limit]}
if wait_in_child:
    wait()
    warnings.simplefilter("ignore", DeprecationWarning)
    pid = os.fork()
    if pid:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
before = descriptors()
wait(5000)
core = golock._golock.core()
assert not core["loaded"] and core["core_missing"], core
assert descriptors() == before
"""
    result = python(program, str(tmp_path), timeout=60)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.count("RuntimeWarning: golock waits without its lock core") == 1
    assert "Traceback" not in result.stderr


def test_warning_made_an_error_fails_no_wait(python) -> None:
    program = f"""{PRELUDE}
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
warnings.simplefilter("error")
wait(10)
print("done")
"""
    result = python(program, timeout=60)
    assert (result.returncode, result.stdout) == (0, "done\n")
    assert result.stderr.count("RuntimeWarning") == 1
