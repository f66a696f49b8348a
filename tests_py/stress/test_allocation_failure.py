"""Each allocation fails in turn: an exception is raised, and the lock works when memory is back.

Not tested are allocations inside the Go runtime, which by design end the process: when the runtime
starts, after golock has seen that address space, memory and a thread are available, and in a
thread's first call into it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def run(injector, environment):
    command = [sys.executable, str(HERE / "allocation_failure.py"), injector]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    failures = {name: int(count) for name, count in map(str.split, result.stdout.splitlines())}
    assert failures["ImportExtension"] > 5
    return failures


def test_the_c_library_has_no_memory(out_of_memory, stress):
    failures = run("preload", out_of_memory)
    assert failures["ContendOnPrivateCopy"] > 10
    assert failures["AllocateLock"] > 0 or FREE_THREADED
    stress.count("allocations failed", sum(failures.values()))


def test_the_interpreter_has_no_memory(stress):
    pytest.importorskip("_testcapi", reason="this interpreter was installed without its tests")
    failures = run("nomemory", os.environ)
    stress.count("allocations failed", sum(failures.values()))
