"""``python -m golock run`` gives the same output, errors and status as plain ``python``."""

from __future__ import annotations

import os
import py_compile
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAMS = {
    "arguments": "import sys; print(sys.argv, sys.path[0], __name__, __file__)",
    "module attributes": """
for name, value in list(globals().items()):
    print(name, str(value).partition(" at 0x")[0])
""",
    "identity of main": "import __main__; print(vars(__main__) is globals(), __builtins__)",
    "exit with nothing": "import sys; sys.exit()",
    "exit with a status": "import sys; sys.exit(3)",
    "exit with 256": "import sys; sys.exit(256)",
    "exit with -1": "import sys; sys.exit(-1)",
    "exit with True": "import sys; sys.exit(True)",
    "exit with text": "import sys; sys.exit('no such thing')",
    "exit with a tuple": "raise SystemExit((1, 'two'))",
    # 3.13.0 leaves an exception set, and fails on it when threading is imported.
    "exit with a huge number": "import threading; raise SystemExit(2**80)",
    "exit subclass": "class Stop(SystemExit): code = 5\nraise Stop",
    "exit at once": "import os; os._exit(7)",
    "exit in a function with finally": """
import sys
def main():
    try:
        sys.exit(4)
    finally:
        print('finally')
main()
""",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "exception": "def f():\n    return 1 / 0\n\nf()\n",
    "exception with context": """
def f():
    try:
        {}['key']
    except KeyError:
        raise ValueError('while handling')

f()
""",
    "exception with cause": """
try:
    int('x')
except ValueError as error:
    raise RuntimeError('from it') from error
""",
    "exception whose text fails": """
class Odd(Exception):
    def __str__(self):
        raise TypeError
raise Odd
""",
    "exception in an import": "import helper_that_fails",
    "import of nothing": "import no_such_module_here",
    "recursion": "def f(n):\n    return f(n + 1)\n\nf(0)\n",
    "recursion between two": "def f(n):\n    g(n)\n\ndef g(n):\n    f(n)\n\nf(0)\n",
    "syntax error": "print('a')\nif True print('b')\n",
    "syntax error at the end": "print((1,\n",
    "syntax error in a string": "a = 'unclosed\n",
    "indentation error": "if True:\nprint(1)\n",
    "tab error": "if True:\n        a = 1\n\tb = 2\n",
    "return outside a function": "a = 1\nreturn a\n",
    "syntax error in an import": "import helper_with_bad_syntax",
    "syntax warning": "a = 1\nprint(a is 1)\n",
    "interrupt": "raise KeyboardInterrupt",
    "interrupt by signal": """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
""",
    "interrupt, then exit handlers": """
import atexit
atexit.register(print, 'at exit')
raise KeyboardInterrupt('stop')
""",
    "hook": """
import sys
def hook(kind, value, traceback):
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    print(kind, value, names, sys.exc_info(), sys.excepthook is hook)
sys.excepthook = hook
def f():
    raise ValueError('to the hook')
f()
""",
    "hook that fails": """
import sys
def hook(*_):
    raise RuntimeError('the hook')
sys.excepthook = hook
raise ValueError('to the hook')
""",
    "hook that exits": """
import sys
sys.excepthook = lambda *_: sys.exit(9)
raise ValueError('to the hook')
""",
    "hook deleted": "import sys\ndel sys.excepthook\nraise ValueError('no hook')",
    "hook that is none": "import sys\nsys.excepthook = None\nraise ValueError('no hook')",
    "hook for an interrupt": """
import sys
sys.excepthook = lambda kind, *_: print(kind)
raise KeyboardInterrupt
""",
    "hook sees __file__, exit handlers do not": """
import atexit, sys
atexit.register(lambda: print('at exit', '__file__' in globals()))
def hook(*_):
    print('hook', '__file__' in globals())
sys.excepthook = hook
raise ValueError
""",
    "last exception": """
import atexit, sys, traceback
def show():
    print(sys.last_type, sys.last_value)
    print(len(traceback.extract_tb(sys.last_traceback)))
    print(sys.last_value.__traceback__ is sys.last_traceback)
    print(hasattr(sys, 'last_exc') and sys.last_exc is sys.last_value)
atexit.register(show)
def f():
    raise ValueError
f()
""",
    "exit handlers": """
import atexit
atexit.register(lambda: print('at exit', sorted(globals())))
""",
    "exit handlers after an exit": """
import atexit, sys
atexit.register(lambda: print('at exit', sorted(globals())))
sys.exit(2)
""",
    "exit handlers see the hook": """
import atexit, sys
atexit.register(lambda: print(sys.excepthook is sys.__excepthook__))
sys.exit(2)
""",
    "exit handler that fails": "import atexit\natexit.register(lambda: 1 / 0)",
    "finalizer": """
class Last:
    def __del__(self):
        print('gone')
last = Last()
""",
    "unraisable": """
class Last:
    def __del__(self):
        raise ValueError('in a finalizer')
Last()
""",
    "standard output lost": "import os\nprint('x')\nos.close(1)",
    "thread that outlives the main one": """
import threading
main_done = threading.Event()
def body():
    threading.main_thread().join()
    print('thread', __name__, '__file__' in globals())
threading.Thread(target=body).start()
print('main')
""",
    "exception in a thread": """
import threading
def body():
    raise ValueError('in a thread')
thread = threading.Thread(target=body, name='worker')
thread.start()
thread.join()
""",
    "queue and pool": """
import queue
from concurrent.futures import ThreadPoolExecutor
numbers = queue.Queue()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(numbers.put, range(100)))
print(sum(numbers.get() for _ in range(100)))
""",
    "pickle": """
import pickle
class Point:
    def __init__(self, x): self.x = x
copy = pickle.loads(pickle.dumps(Point(3)))
print(copy.x, type(copy) is Point, Point.__module__)
""",
    "source of a function": """
import inspect
def f():
    return 'the source'
print(inspect.getsource(f), inspect.getsourcefile(f) == __file__)
""",
    "type hints": """
from __future__ import annotations
import dataclasses, typing
@dataclasses.dataclass
class Point:
    x: int
    y: Point | None = None
print(typing.get_type_hints(Point), Point(1))
""",
    "annotations": "x: int = 1\nprint(__annotations__)",
    "flags are not inherited": "def f(x: 1 + 1): pass\nprint(f.__annotations__)",
    "reading standard input": "import sys; print(repr(sys.stdin.read()))",
    "warning": "import warnings\nwarnings.warn('careful')",
    "sibling module": "import helper; print(helper.__file__)",
    "log": "import logging\nlogging.warning('%s', 'logged')",
    "frame": "import sys\nframe = sys._getframe()\nprint(frame.f_code, frame.f_lineno)",
}  # fmt: skip

if sys.version_info >= (3, 11):
    PROGRAMS["exception group"] = """
def f():
    raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])

f()
"""
    PROGRAMS["exception with a note"] = """
error = ValueError('noted')
error.add_note('a note')
raise error
"""

SPAWN = """
import multiprocessing, sys

class Point:
    def __init__(self, x):
        self.x = x

def double(point):
    return Point(point.x * 2)

if __name__ == '__main__':
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print([point.x for point in pool.map(double, [Point(1), Point(2)])])
    with context.Manager() as manager:
        with manager.Lock():
            print(manager.list([1, 2]))
else:
    print(__name__, __file__, __spec__ and __spec__.name, flush=True)  # a signal ends a worker
"""

BYTES = {
    "latin-1 by its cookie": "# -*- coding: latin-1 -*-\nprint(ascii('\u00e9'))\n".encode(
        "latin-1"
    ),
    "byte order mark": b"\xef\xbb\xbfprint('bom')\n",
    "DOS line ends": b"if True:\r\n    print('dos')\r\nraise ValueError\r\n",
    "no line end": b"print('end')",
    "empty": b"",
    "form feed": b"\x0cprint('page')\n",
}


class Result(NamedTuple):
    stdout: bytes
    stderr: bytes
    status: int


class Runner:
    """Runs a command line without golock and on it, in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("helper.py", "")
        self.write(
            "helper_that_fails.py", "def f():\n    raise LookupError('in the helper')\n\nf()\n"
        )
        self.write("helper_with_bad_syntax.py", "a = = 1\n")

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def run(self, *arguments: str, stdin: bytes = b"") -> Result:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
        addresses = re.compile(rb"0x[0-9a-f]+")
        return Result(
            addresses.sub(b"0x", done.stdout), addresses.sub(b"0x", done.stderr), done.returncode
        )

    def compare(self, *arguments: str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> Result:
        """Assert that both give the same result, and return it."""
        plain = self.run(*options, *arguments, stdin=stdin)
        on_golock = self.run(*options, "-m", "golock", "run", *arguments, stdin=stdin)
        assert on_golock == plain
        return plain


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize("program", PROGRAMS)
def test_script(runner: Runner, program: str) -> None:
    runner.write("program.py", PROGRAMS[program])
    runner.compare("program.py", "one", "-m", "--two", stdin=b"some input\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_module(runner: Runner, program: str) -> None:
    runner.write("program.py", PROGRAMS[program])
    runner.compare("-m", "program", "one", "-m", "--two", stdin=b"some input\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_standard_input(runner: Runner, program: str) -> None:
    runner.compare("-", "one", stdin=PROGRAMS[program].encode())


@pytest.mark.parametrize("program", PROGRAMS)
def test_code(runner: Runner, program: str) -> None:
    runner.compare("-c", PROGRAMS[program], "one", "-m", "--two", stdin=b"some input\n")


@pytest.mark.parametrize(
    "code",
    [
        "",
        "\n",
        "   ",
        "# coding: latin-1\nprint(ascii('\u00e9'))",
        "print('\udcff')",
        "  print(1)\n\n  print(2)",
        "  def f():\n      1 / 0\n \n  f()",
        "\tif 1:\n\t    print('''\n\t  \n\t    x''')",
        "def f():\r\n    1 / 0\r\nf()",
        "import inspect\ndef f(): pass\nprint(inspect.getsource(f))",
        "import linecache\nprint([key for key in linecache.cache if isinstance(key, str)])",
    ],
    ids=ascii,
)
def test_code_as_it_stands(runner: Runner, code: str) -> None:
    runner.compare("-c", code)


def test_code_joined_to_the_option(runner: Runner) -> None:
    runner.compare("-c" + PROGRAMS["frame"], "one", "-c", "two")
    runner.compare("-c-m", "one")
    runner.compare("-c=1", "one")


@pytest.mark.parametrize("name", BYTES)
def test_source_bytes(runner: Runner, name: str) -> None:
    runner.write("program.py", BYTES[name])
    runner.compare("program.py")


@pytest.mark.parametrize(
    "source", [b"print('\xff')\n", b"# coding: no-such-encoding\nprint(1)\n"], ids=ascii
)
def test_source_that_cannot_be_decoded(runner: Runner, source: bytes) -> None:
    """The message comes from compile(), not from the file parser; all else is the same."""
    runner.write("program.py", source)
    plain = runner.run("program.py")
    on_golock = runner.run("-m", "golock", "run", "program.py")
    assert (on_golock.stdout, on_golock.status) == (plain.stdout, plain.status)
    for result in (plain, on_golock):
        assert b"SyntaxError: " in result.stderr
        assert b"Traceback" not in result.stderr


def test_the_program_is_on_golock(runner: Runner) -> None:
    runner.write("program.py", "import threading; print(hasattr(threading.Lock(), 'address'))")
    assert runner.run("-m", "golock", "run", "program.py").stdout == b"True\n"
    assert runner.run("program.py").stdout == b"False\n"


SHOW = PROGRAMS["arguments"] + "\nimport helper\n1 / 0\n"


@pytest.mark.parametrize(
    "path",
    [
        "program.py",
        "./program.py",
        "././program.py",
        "sub/../program.py",
        "{}/program.py",
        "sub//link.py",
    ],
)
def test_path_of_the_script(runner: Runner, path: str) -> None:
    runner.write("program.py", SHOW)
    runner.write("sub/other.py", "")
    (runner.folder / "sub" / "link.py").symlink_to("../program.py")
    runner.compare(path.format(runner.folder))


@pytest.mark.parametrize("name", ["folder", "./folder", "{}/folder", "."])
def test_folder_with_main(runner: Runner, name: str) -> None:
    runner.write("folder/__main__.py", SHOW)
    runner.write("folder/helper.py", "")
    runner.write("__main__.py", SHOW)
    runner.compare(name.format(runner.folder), "one")


@pytest.mark.parametrize("name", ["folder", "program.zip"])
def test_folder_in_isolated_mode(runner: Runner, name: str) -> None:
    if runner.run("-I", "-c", "import golock").status:
        pytest.skip("golock is not on the path with this option")
    runner.write("folder/__main__.py", SHOW)
    runner.write("folder/helper.py", "")
    with zipfile.ZipFile(runner.folder / "program.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
        archive.writestr("helper.py", "")
    runner.compare(name, "one", options=("-I",))


def test_folder_without_main(runner: Runner) -> None:
    runner.write("folder/helper.py", "")
    assert runner.compare("folder").status == 1


def test_zip_file(runner: Runner) -> None:
    with zipfile.ZipFile(runner.folder / "program.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
        archive.writestr("helper.py", "")
    runner.compare("program.zip", "one")


@pytest.mark.parametrize("program", ["arguments", "module attributes", "exception"])
def test_compiled_file(runner: Runner, program: str) -> None:
    source = runner.write("source.py", PROGRAMS[program])
    py_compile.compile(str(source), cfile=str(runner.folder / "program.pyc"))
    runner.compare("program.pyc", "one")


def test_compiled_file_of_another_version(runner: Runner) -> None:
    runner.write("program.pyc", b"\x00\x01\x02\x03" + bytes(12))
    assert runner.compare("program.pyc").status == 1


@pytest.mark.parametrize("program", ["arguments", "module attributes", "exception", "syntax error"])
def test_package(runner: Runner, program: str) -> None:
    runner.write("package/__init__.py", "print('package', __name__)")
    runner.write("package/__main__.py", "from . import part\n" + PROGRAMS[program])
    runner.write("package/part.py", "print(__name__)")
    runner.compare("-m", "package", "one")
    runner.compare("-m", "package.part", "one")


def test_package_that_fails(runner: Runner) -> None:
    runner.write("package/__init__.py", "1 / 0")
    runner.write("package/__main__.py", "")
    runner.compare("-m", "package")


@pytest.mark.parametrize(
    "name", ["no_such_module", "no.such.module", "package", "helper.py", ".helper", "sys"]
)
def test_missing_module(runner: Runner, name: str) -> None:
    runner.write("package/__init__.py", "")
    assert runner.compare("-m", name).status == 1


def test_module_name_joined_to_the_option(runner: Runner) -> None:
    runner.write("program.py", SHOW)
    runner.compare("-mprogram", "one")


@pytest.mark.parametrize(
    "name", ["missing.py", "./missing.py", "/nowhere/missing.py", "helper.py/x", "sp ace'.py"]
)
def test_missing_script(runner: Runner, name: str) -> None:
    assert runner.compare(name).status == 2


@pytest.mark.parametrize(
    "options",
    [("-I",), ("-E",), ("-O",), ("-B", "-W", "error"), ("-X", "dev"), ("-u",), ("-S",)],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "program", ["arguments", "exception", "syntax warning", "module attributes"]
)
def test_interpreter_options(runner: Runner, program: str, options: tuple[str, ...]) -> None:
    if runner.run(*options, "-c", "import golock").status:
        pytest.skip("golock is not on the path with this option")
    runner.write("program.py", PROGRAMS[program])
    runner.compare("program.py", "one", options=options)
    runner.compare("-c", PROGRAMS[program], "one", options=options)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@pytest.mark.parametrize("arguments", [("program.py",), ("-m", "program")], ids=" ".join)
def test_multiprocessing(runner: Runner, arguments: tuple[str, ...], method: str) -> None:
    runner.write("program.py", SPAWN)
    result = runner.compare(*arguments, method)
    assert (result.status, b"[2, 4]" in result.stdout) == (0, True)


@pytest.mark.parametrize("arguments", [(), ("-c",), ("-m",), ("--no-such-option", "program.py")])
def test_wrong_command_line(runner: Runner, arguments: tuple[str, ...]) -> None:
    result = runner.run("-m", "golock", "run", *arguments)
    assert (result.status, result.stdout) == (2, b"")
    assert b"usage: python -m golock run" in result.stderr
