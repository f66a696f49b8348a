"""``python -m golock run``: run an unchanged program on golock's locks.

The program gets a fresh ``__main__``; what the interpreter's own start-up (``pymain_run_python`` in
CPython's ``Modules/main.c``) does with ``sys.argv``, ``sys.path`` and that module is repeated here.
Two differences are left: the frames that started the program lie below its own, where
``sys._getframe`` and ``traceback.print_stack`` see them; and the error for a script that cannot be
decoded is worded as ``compile`` words it.
"""

# Not pathlib: a module imported here would hide one of that name beside the program.
# ruff: noqa: PTH109, PTH120, PTH123

from __future__ import annotations

import builtins
import marshal
import os
import runpy
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType

from . import _golock
from ._install import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, NoReturn

USAGE = """\
usage: python -m golock run [--sight[=WHAT]] [-c CODE | -m MODULE | SCRIPT | -] [ARGS...]

Run a Python program, unchanged, with golock's locks in place of the interpreter's.

  --sight[=WHAT]
              record what golock.sight does at a level, and listen for 'python -m golock dump' and
              the like. WHAT is LEVEL[,REACTION][,SECONDS]: off only listens, and owners is used if
              none is given; a deadlock of which a wait has lasted for SECONDS (0.1) is reported on
              standard error (report), ended by an exception (raise), or not told (ignore)
  -c CODE     run a string, as 'python -c CODE' does
  -m MODULE   run a module, as 'python -m MODULE' does
  SCRIPT      run a file, or a folder or zip file that holds a __main__.py
  -           run the program read from standard input
  ARGS        the program's own arguments
"""

_PYC_HEADER = 16

# Whether the interpreter takes __file__ from a script before it reports the script's exception, or
# after that, and after sys.exit() not at all (https://github.com/python/cpython/pull/153446).
_FORGETS_FILE_FIRST = (
    sys.version_info >= (3, 15)
    or (3, 14, 7) <= sys.version_info < (3, 15)
    or (3, 13, 15) <= sys.version_info < (3, 14)
)


def run(arguments: list[str]) -> None:
    """Install golock and run the program that ``arguments`` name; the rest of them are its own.

    ``--sight`` before the program switches golock.sight on.

    Returns when the program ends normally. Whatever it raises, ``SystemExit`` included, is raised
    from here, with ``sys.excepthook`` arranged so that only the program's traceback is printed.
    """
    sight = None
    if arguments and arguments[0].partition("=")[0] == "--sight":
        option, *arguments = arguments
        sight = option.partition("=")[2] if "=" in option else "owners"
    program, *rest = arguments or [""]
    if program in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return
    start: Callable[[str, list[str]], None] = _run_script
    if program.startswith("-m"):
        start = _run_module
        program = program[2:] or (rest.pop(0) if rest else "")
        if not program:
            _refuse("-m requires a module name")
    elif program.startswith("-c"):
        start = _run_code
        if program == "-c" and not rest:
            _refuse("-c requires a program")
        program = program[2:] or rest.pop(0)
    elif program == "-":
        start = _run_stdin
    elif not program or program.startswith("-"):
        _refuse(f"unknown option {program}" if program else "no program given")
    install()
    if sight is not None:
        _observe(sight)
    sys.modules["__main__"] = _fresh_main()
    start(program, rest)


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"{USAGE}\npython -m golock run: {reason}\n")
    sys.exit(2)


def _observe(sight: str) -> None:
    from .sight import _observe as observe  # noqa: PLC0415

    try:
        observe(sight)
    except ValueError as error:
        _refuse(f"--sight={sight}: {error}")


def _fresh_main() -> ModuleType:
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__dict__["__builtins__"] = builtins
    return main


def _run_module(module: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-m", *arguments]
    _finish(lambda: runpy._run_module_as_main(module), exec_calls=1)  # type: ignore[attr-defined]


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _set_first_path("")
    try:
        code.encode()
    except UnicodeEncodeError as error:
        sys.stderr.write("Unable to decode the command from the command line:\n")
        sys.__excepthook__(type(error), error.with_traceback(None), None)
        sys.exit(1)
    namespace = sys.modules["__main__"].__dict__
    _finish(lambda: exec(_compile_code(code + "\n"), namespace), exec_calls=2)


def _compile_code(source: str) -> CodeType:
    if sys.version_info >= (3, 14):
        source = _dedent(source)
    code = _compile(source, "<string>")
    if sys.version_info >= (3, 13):  # tracebacks show the lines
        import linecache  # noqa: PLC0415

        # The first releases of 3.13 keep the lines under the name of the file.
        key = code if hasattr(linecache, "_interactive_cache") else "<string>"
        linecache._register_code(key, source, "<string>")  # type: ignore[attr-defined]
    return code


def _dedent(source: str) -> str:
    lines = [line if line.strip(" \t") else "" for line in source.split("\n")]
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line]
    first, last = min(margins, default=""), max(margins, default="")
    margin = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        len(first),
    )
    return "\n".join(line[margin:] for line in lines)


def _run_stdin(dash: str, arguments: list[str]) -> None:
    sys.argv[:] = [dash, *arguments]
    _set_first_path("")
    with open(0, "rb", closefd=False) as stdin:
        source = stdin.read()
    _execute(lambda: _compile(source, "<stdin>"), "<stdin>")


def _run_script(script: str, arguments: list[str]) -> None:
    sys.argv[:] = [script, *arguments]
    path = _absolute(script)
    if _is_importable_container(path):
        _set_first_path(path, always=True)
        _finish(lambda: runpy._run_module_as_main("__main__", False), exec_calls=1)  # type: ignore[attr-defined]
        return
    data = _read(path)
    _set_first_path(os.path.dirname(os.path.realpath(script)))
    loader = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
    sys.modules["__main__"].__loader__ = loader("__main__", path)
    load = _unmarshal if loader is SourcelessFileLoader else _compile
    _execute(lambda: load(data, path), path)


def _absolute(script: str) -> str:
    """Return the path as the interpreter writes it into ``__file__``: absolute, not normalised."""
    if script == "." and sys.version_info >= (3, 11):
        return os.getcwd()
    return script if script.startswith("/") else f"{os.getcwd()}/{script}"


def _is_importable_container(path: str) -> bool:
    for hook in sys.path_hooks:
        try:
            sys.path_importer_cache[path] = hook(path)
        except ImportError:
            continue
        return True
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as script:
            return script.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {os.strerror(error.errno or 0)}"
        sys.stderr.write(f"{sys.orig_argv[0]}: can't open file {path!r}: {reason}\n")
        sys.exit(2)


def _compile(source: str | bytes, filename: str) -> CodeType:
    return compile(source, filename, "exec", dont_inherit=True)


def _unmarshal(data: bytes, filename: str) -> CodeType:
    if data[:4] != MAGIC_NUMBER:
        raise RuntimeError("Bad magic number in .pyc file")
    code = marshal.loads(data[_PYC_HEADER:])
    if not isinstance(code, CodeType):
        raise RuntimeError("Bad code object in .pyc file")
    return code


def _set_first_path(entry: str, always: bool = False) -> None:
    """Put ``entry`` where ``python -m golock`` has put the current folder."""
    safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    if not safe:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def _execute(load: Callable[[], CodeType], filename: str) -> None:
    namespace = sys.modules["__main__"].__dict__
    namespace["__file__"] = filename
    if sys.version_info < (3, 15):
        namespace["__cached__"] = None
    _finish(
        lambda: exec(load(), namespace), exec_calls=2, afterwards=lambda: _forget_file(namespace)
    )


def _forget_file(namespace: dict[str, Any]) -> None:
    """Do as the interpreter does after a script: exit handlers and threads see no ``__file__``."""
    namespace.pop("__file__", None)
    namespace.pop("__cached__", None)


def _nothing() -> None:
    pass


def _finish(
    start: Callable[[], object], *, exec_calls: int, afterwards: Callable[[], None] = _nothing
) -> None:
    sys.setrecursionlimit(sys.getrecursionlimit() + _depth(exec_calls))
    _golock.set_sight_root(start.__code__)
    try:
        start()
    except BaseException as error:
        if _FORGETS_FILE_FIRST:
            afterwards()
            afterwards = _nothing
        if not isinstance(error, SystemExit):
            _report_without_own_frames(error, afterwards)
        raise
    afterwards()


def _depth(exec_calls: int) -> int:
    """Return how much of the recursion limit lies below the program and would not without golock.

    Up to 3.11 calls of ``exec`` count as well: runpy's, which started golock, and ours.
    """
    depth = exec_calls if sys.version_info < (3, 12) else 0
    frame: FrameType | None = sys._getframe()  # stands for the function that _finish calls
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def _report_without_own_frames(error: BaseException, afterwards: Callable[[], None]) -> None:
    """Have the interpreter, about to print ``error``, print the program's part of the traceback."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    hooks = [sys.excepthook] if hasattr(sys, "excepthook") else []

    def report(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        del sys.excepthook
        sys.last_traceback = value.__traceback__ = traceback
        try:
            for hook in hooks:
                sys.excepthook = hook
                hook(kind, value, traceback)
            if not hooks:
                sys.stderr.write("sys.excepthook is missing\n")
                sys.__excepthook__(kind, value, traceback)
        except SystemExit:
            raise
        except BaseException as broken:
            _report_broken_hook(broken, value)
        afterwards()

    sys.excepthook = report


def _report_broken_hook(broken: BaseException, original: BaseException) -> None:
    sys.stdout.flush()
    traceback = broken.__traceback__ and broken.__traceback__.tb_next
    sys.stderr.write("Error in sys.excepthook:\n")
    sys.__excepthook__(type(broken), broken.with_traceback(traceback), traceback)
    sys.stderr.write("\nOriginal exception was:\n")
    sys.__excepthook__(type(original), original, original.__traceback__)
