"""A child forked by a thread ends when its last thread ends, and not before.

The C library ends such a process with its last thread, and Go's threads never end. So such a child
loads no core, and neither do its children. An earlier version guessed by the names of threads in
/proc.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Check = Callable[["subprocess.CompletedProcess[str]", str], None]

PRELUDE = """
    import _thread, os, resource, sys, threading, time, warnings
    import golock

    warnings.simplefilter("ignore")

    def contend():
        lock = golock.Lock()
        lock.acquire()
        assert not lock.acquire(timeout=0.001)
        core = golock._golock.core()
        assert not core["loaded"] and "forked by a thread" in core["core_missing"], core

    def say(*what):
        os.write(1, (" ".join(map(str, what)) + "\\n").encode())

    def work(deep, last):
        child = os.fork()
        if child:
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        elif deep > 1:
            work(deep - 1, last)
        else:
            last()

    def in_child_of_a_thread(last, deep=1):
        thread = threading.Thread(target=work, args=(deep, last))
        thread.start()
        thread.join()
"""

LASTS = {
    "the first thread": "def last(): contend(); say('done')",
    "another thread": """
    def last():
        threading.Thread(target=lambda: (contend(), say('done'))).start()
    """,
    "threads that replace each other": """
    def last(left=20):
        contend()
        if left:
            _thread.start_new_thread(last, (left - 1,))
        else:
            say('done')""",
    "one named as the core's": """
    def last():
        def named():
            open('/proc/thread-self/comm', 'w').write('golock')
            contend()
            time.sleep(0.05)
            say('done')
        _thread.start_new_thread(named, ())""",
    "at the limit of open files": """
    def last():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        _thread.start_new_thread(lambda: (contend(), time.sleep(0.05), say('done')), ())""",
    "busy": """
    def last():
        def busy():
            contend()
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                pass
            say('done')
        _thread.start_new_thread(busy, ())""",
}


@pytest.mark.parametrize("last", LASTS)
@pytest.mark.parametrize("deep", [1, 2])
def test_child_of_a_thread_ends(deep: int, last: str, python: Python, check: Check) -> None:
    program = f"{PRELUDE}\n    {LASTS[last]}\n    in_child_of_a_thread(last, {deep})\n"
    check(python(program, timeout=60), "done\n" + "0\n" * deep)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot")
def test_without_proc(tmp_path: object, python: Python, check: Check) -> None:
    program = f"""{PRELUDE}
    def last():
        os.chroot(sys.argv[1])
        _thread.start_new_thread(lambda: (contend(), time.sleep(0.05), say('done')), ())
    in_child_of_a_thread(last)
    """
    check(python(program, str(tmp_path), timeout=60), "done\n0\n")


def test_core_is_refused_there(python: Python, check: Check) -> None:
    program = f"""{PRELUDE}
    def last():
        try:
            golock._golock.core_address()
        except golock.CoreError as error:
            say(str(error).partition(': ')[2].partition(',')[0])
    in_child_of_a_thread(last)
    """
    check(
        python(program, timeout=60),
        "this process was forked by a thread other than the main one\n0\n",
    )
